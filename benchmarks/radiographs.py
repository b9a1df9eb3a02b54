"""The same radiographs as a built dataset and as folders of PNG files, as Keras expects them."""

import contextlib
import pathlib
import tempfile
from collections.abc import Iterator, Sequence

from absl import flags

from benchmarks.built_dataset import DATASET, built, define_dataset_flags

# The flags belong to the benchmark that defines them, also in its --help.
flags.disclaim_key_flags()


def define_flags() -> None:
    """Defines the flags that select the radiographs."""
    define_dataset_flags()
    flags.DEFINE_string("manual_dir", None, "The copy of the database that it was built from.")


@contextlib.contextmanager
def both_forms(configs: Sequence[str]) -> Iterator[tuple[str, str]]:
    """Provides the radiographs selected by the flags.

    Args:
        configs: configurations to build where phantoms are drawn.

    Yields:
        The data directory, and a folder with `SPLIT/CLASS/ID.png` for every image of the dataset.

    Raises:
        ValueError: one of the two directories is missing, or they do not match.
    """
    data_dir, manual_dir = flags.FLAGS.data_dir, flags.FLAGS.manual_dir
    if bool(data_dir) != bool(manual_dir):
        raise ValueError("--data_dir and --manual_dir go together: the same images, twice")
    with built(configs) as (data_dir, drawn_in), tempfile.TemporaryDirectory() as folder:
        _link(data_dir, manual_dir or drawn_in, pathlib.Path(folder))
        yield data_dir, folder


def _link(data_dir: str, manual_dir: str, folder: pathlib.Path) -> None:
    from cxr_command import split_table

    tables = sorted(pathlib.Path(data_dir, DATASET, "224x224").glob("*/splits.csv"))
    if not tables:
        raise ValueError(f"--data_dir={data_dir} holds no {DATASET}/224x224 with its splits.csv")
    split_of = {row.id: row.split for row in split_table.read(tables[-1].parent)}
    for path in pathlib.Path(manual_dir).resolve().rglob("images/*.png"):
        if path.stem in split_of:
            link = folder / split_of[path.stem] / path.parents[1].name / path.name
            link.parent.mkdir(parents=True, exist_ok=True)
            link.symlink_to(path)
    if not any(folder.iterdir()):
        raise ValueError(f"--manual_dir={manual_dir} holds none of the images of {data_dir}")
