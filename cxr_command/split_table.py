"""The table of radiographs and splits, `splits.csv`, stored beside a built dataset."""

from collections.abc import Iterable, Sequence
from typing import NamedTuple

from etils import epath

from cxr_command import csv_file

NAME = "splits.csv"


class Row(NamedTuple):
    """One radiograph of the table.

    Attributes:
      id: Its id, such as "COVID-137".
      label: Its class.
      source: The collection it was taken from.
      split: "train", "validation" or "test".
      group: The id that names its group of duplicates, its own if it has none.
      sha256: The SHA-256 of its image file, hexadecimal.
    """

    id: str
    label: str
    source: str
    split: str
    group: str
    sha256: str


def write(folder: epath.Path, rows: Iterable[Row]) -> None:
    """Writes the table.

    Args:
      folder: The folder of a built dataset.
      rows: The radiographs.
    """
    (folder / NAME).write_bytes(csv_file.encode([Row._fields, *rows]))


def read(folder: epath.PathLike) -> list[Row]:
    """Reads the table.

    Args:
      folder: The folder of a built dataset, such as DATA/covid19_radiography/224x224/1.0.0.

    Returns:
      The radiographs.

    Raises:
      FileNotFoundError: There is no table in the folder.
      OSError: The system cannot read it.
      ValueError: The table has other columns, or no rows.
    """
    path = epath.Path(folder) / NAME
    if not path.exists():
        raise FileNotFoundError(
            f"{path} does not exist: build the dataset with `tfds build` first."
        )
    try:
        content = path.read_bytes()
        header, *rows = csv_file.decode(content) or [[]]
    except OSError as error:
        raise OSError(error.errno, error.strerror, str(path)) from error
    except ValueError as error:
        raise ValueError(f"{path} is damaged ({error}). Build the dataset again.") from error
    # A row that was cut within its last cell has as many as the others.
    ends_whole = content.endswith(b"\n")
    whole = bool(rows) and ends_whole and all(len(row) == len(header) for row in rows)
    if header != list(Row._fields) or not whole:
        raise ValueError(
            f"{path} has {len(rows)} rows and the columns {header}; expected whole rows with "
            f"the columns {list(Row._fields)}. Build the dataset again."
        )
    return [Row(*row) for row in rows]


def contents(rows: Sequence[Row]) -> dict[str, str]:
    """Returns a name for each radiograph's group by content, independent of file names.

    Args:
      rows: The table of splits, or a part of it.

    Returns:
      By id, the lowest SHA-256 of its group.
    """
    lowest: dict[str, str] = {}
    for row in rows:
        lowest[row.group] = min(lowest.get(row.group, "~"), row.sha256)
    return {row.id: lowest[row.group] for row in rows}
