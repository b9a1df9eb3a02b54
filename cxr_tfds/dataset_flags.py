"""The flags that name a built dataset."""

from absl import flags

# The flags defined here are those of the command that asks for them, also in its --help.
flags.disclaim_key_flags()


def define() -> None:
    """Defines the flags."""
    flags.DEFINE_string("data_dir", None, "Where `tfds build` put datasets.", required=True)
    flags.DEFINE_string("config", "224x224", "The configuration that was built.")
