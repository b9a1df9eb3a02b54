"""A built dataset to measure with: the one given by flags, or phantoms."""

import contextlib
import pathlib
import tempfile
from collections.abc import Iterator, Sequence

from absl import flags

from cxr_tfds import phantom

DATASET = "covid19_radiography"

# The flags belong to the benchmark that defines them, also in its --help.
flags.disclaim_key_flags()


def define_dataset_flags() -> None:
    """Defines the flags that select the built dataset only."""
    flags.DEFINE_string(
        "data_dir", None, "Data directory of a built dataset; default: draw phantoms."
    )
    flags.DEFINE_integer("images_per_class", 100, "Number of phantoms to draw.", lower_bound=4)


@contextlib.contextmanager
def built(configs: Sequence[str]) -> Iterator[tuple[str, str]]:
    """Builds phantoms if the flags select no dataset.

    Args:
        configs: configurations to build.

    Yields:
        The data directory, and the database of the phantoms; empty if the flags select a dataset.
    """
    with contextlib.ExitStack() as stack:
        data_dir, database = flags.FLAGS.data_dir, ""
        if not data_dir:
            scratch = pathlib.Path(stack.enter_context(tempfile.TemporaryDirectory()))
            data_dir, database = str(scratch / "data"), str(scratch / "kaggle")
            _draw_and_build(database, data_dir, configs)
        yield data_dir, database


def _draw_and_build(manual_dir: str, data_dir: str, configs: Sequence[str]) -> None:
    import tensorflow_datasets as tfds

    import cxr_tfds  # noqa: F401 - registers the builder

    phantom.write_database(pathlib.Path(manual_dir), flags.FLAGS.images_per_class)
    tfds.disable_progress_bar()
    for config in configs:
        tfds.builder(f"{DATASET}/{config}", data_dir=data_dir).download_and_prepare(
            download_config=tfds.download.DownloadConfig(manual_dir=manual_dir)
        )
