"""Flags of benchmarks that choose some of several names."""

from collections.abc import Collection, Sequence

from absl import flags

# The flags are those of the command that has them defined.
flags.disclaim_key_flags()


def define_choice(
    name: str, known: Collection[str], text: str, default: Sequence[str] | None = None
) -> None:
    """Defines a flag of names with commas in between; others than the known are refused.

    Args:
        name: the flag's.
        known: all that may be chosen.
        text: what `--help` says of it.
        default: what is chosen where the flag is not given; None: all.
    """
    flags.DEFINE_list(name, list(known if default is None else default), text)
    flags.register_validator(
        name,
        lambda chosen: set(chosen) <= set(known),
        message=f"expected some of {', '.join(known)}",
    )
