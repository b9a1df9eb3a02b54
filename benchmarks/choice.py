"""Flags of benchmarks that select names from a list."""

from collections.abc import Collection, Sequence

from absl import flags

# The flags belong to the command that defines them.
flags.disclaim_key_flags()


def define_choice(
    name: str, known: Collection[str], text: str, default: Sequence[str] | None = None
) -> None:
    """Defines a flag of comma-separated names, which rejects unknown ones.

    Args:
        name: name of the flag.
        known: the allowed names.
        text: its help text.
        default: the default; None: all.
    """
    flags.DEFINE_list(name, list(known if default is None else default), text)
    flags.register_validator(
        name,
        lambda chosen: set(chosen) <= set(known),
        message=f"expected some of {', '.join(known)}",
    )
