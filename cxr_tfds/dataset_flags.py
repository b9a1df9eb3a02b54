"""Flags that select a built dataset."""

import re

from absl import flags
from etils import epath

from cxr_command import split_table
from cxr_tfds.covid19_radiography import paths

_VERSION = re.compile(r"\d+\.\d+\.\d+", re.ASCII)

# The flags belong to the command that defines them, also in its --help.
flags.disclaim_key_flags()


def define() -> None:
    """Defines the flags."""
    flags.DEFINE_string("data_dir", None, "Data directory of `tfds build`.", required=True)
    flags.DEFINE_string("dataset", "covid19_radiography", "Its name, or own_radiographs.")
    flags.DEFINE_string("config", "224x224", "Configuration of the built dataset.")


def find() -> epath.Path:
    """Finds the folder selected by the flags.

    Returns:
        The folder, which has a table of splits.

    Raises:
        FileNotFoundError: The folder does not exist.
        OSError: The folders cannot be listed.
    """
    return find_folder(flags.FLAGS.data_dir, flags.FLAGS.config, flags.FLAGS.dataset)


def find_folder(
    data_dir: epath.PathLike, config: str, dataset: str = "covid19_radiography"
) -> epath.Path:
    """Finds the folder of the newest version of a built dataset that has a table.

    Args:
      data_dir: Data directory of `tfds build`.
      config: The configuration, such as "224x224".
      dataset: The dataset's name.

    Returns:
      The folder.

    Raises:
      FileNotFoundError: The folder does not exist.
      OSError: The folders cannot be listed.
    """
    built = epath.Path(data_dir) / dataset / config
    versions = (path for path in paths.listed(built) if _VERSION.fullmatch(path.name))
    folders = [folder for folder in versions if paths.exists(folder / split_table.NAME)]
    if not folders:
        raise FileNotFoundError(
            f"There is no {built}/VERSION/{split_table.NAME}: name the directory and the "
            f"configuration that `tfds build cxr_tfds/{dataset}` was given."
        )
    return max(folders, key=lambda folder: tuple(map(int, folder.name.split("."))))
