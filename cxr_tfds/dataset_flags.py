"""The flags that name a built dataset."""

from absl import flags
from etils import epath

from cxr_tfds.covid19_radiography import split_table

# The flags defined here are those of the command that asks for them, also in its --help.
flags.disclaim_key_flags()


def define() -> None:
    """Defines the flags."""
    flags.DEFINE_string("data_dir", None, "Where `tfds build` put datasets.", required=True)
    flags.DEFINE_string("dataset", "covid19_radiography", "Its name, or own_radiographs.")
    flags.DEFINE_string("config", "224x224", "The configuration that was built.")


def find() -> epath.Path:
    """Finds the folder that the flags name.

    Returns:
        The folder, which has a table of splits.

    Raises:
        FileNotFoundError: There is none.
        OSError: The folders cannot be listed.
    """
    return split_table.find(flags.FLAGS.data_dir, flags.FLAGS.config, flags.FLAGS.dataset)
