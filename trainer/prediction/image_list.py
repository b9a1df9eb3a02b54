"""The files that a user names: a file, folder, glob, or CSV file with a column of paths."""

import contextlib
import dataclasses
import functools
import hashlib
import os
import pathlib
from collections.abc import Iterator, Sequence

from cxr_command import csv_file
from trainer.data import own_files
from trainer.errors import UserError
from trainer.parsing import unreadable

_COLUMN = "path"


@dataclasses.dataclass(frozen=True)
class ImageList:
    """A list of paths without pixels: a million take about 100 MB.

    Attributes:
        folder: folder that paths are relative to; empty for the working directory.
        paths: every file, as named by the user or the folder.
        left_out: skipped files, each with the reason.
    """

    folder: str
    paths: list[str]
    left_out: dict[str, str]

    def place(self, path: str) -> str:
        """Returns the location of a file."""
        return os.path.join(self.folder, path)

    @functools.cached_property
    def digest(self) -> str:
        """Returns the SHA-256 of the paths, in order."""
        digest = hashlib.sha256(os.fsencode(self.folder))
        for path in self.paths:
            digest.update(b"\0" + os.fsencode(path))
        return digest.hexdigest()


def list_images(named: str, results: Sequence[pathlib.Path] = ()) -> ImageList:
    """Lists the files that a user names.

    Args:
        named: a file, a folder (searched recursively), a glob, or a CSV file with a column `path`
            of paths relative to its own folder.
        results: output files and folders to exclude from the list.

    Returns:
        The files: sorted by name for folders and globs, in the order of a CSV file.

    Raises:
        UserError: there are no files, a folder cannot be listed, or the CSV file is invalid.
    """
    if named.lower().endswith(".csv") and os.path.isfile(named):
        return _of_table(named)
    found = own_files.find([named], "images")
    left_out = {str(path): reason for path, reason in found.left_out}
    own = tuple(os.path.abspath(path) for path in results)

    def is_result(path: str) -> bool:
        place = os.path.abspath(path)
        return place in own or place.startswith(tuple(f"{folder}{os.sep}" for folder in own))

    paths = sorted(path for path in (*map(str, found.files), *left_out) if not is_result(path))
    return ImageList("", paths, left_out)


def _of_table(path: str) -> ImageList:
    with _reading(path), open(path, encoding="utf-8-sig", newline="") as file:
        rows = csv_file.spreadsheet_rows(file)
        header = [name.strip().lower() for name in next(rows, [])]
        if header.count(_COLUMN) != 1:
            raise ValueError(f"its columns are {', '.join(header) or 'none'}")
        column = header.index(_COLUMN)
        cells = (list(map(str.strip, row)) for row in rows)
        paths = [row[column] if column < len(row) else "" for row in cells if any(row)]
    if not paths:
        raise UserError(f"--images={path}: it has a header but no rows; expected one path per row")
    left_out = dict.fromkeys(filter(_is_no_name, paths), "the row names no file")
    return ImageList(os.path.dirname(path), paths, left_out)


def _is_no_name(path: str) -> bool:
    return not path or "\0" in path


@contextlib.contextmanager
def _reading(path: str) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise unreadable(path, error.strerror or str(error)) from error
    except ValueError as error:
        raise UserError(
            f"--images={path}: it is no table of radiographs ({error}); expected a CSV file in "
            f"UTF-8 with one column {_COLUMN!r}"
        ) from error
