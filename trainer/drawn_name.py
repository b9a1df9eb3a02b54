"""Names of classes, models and files, made safe for Matplotlib."""

from cxr_command.foreign_text import one_line

_LONGEST = 40


def drawn(name: str) -> str:
    """Prepares an arbitrary name for a plot.

    Matplotlib parses text between two `$` as a formula and hides legend entries that begin with an
    underscore; a very long name would leave no room for the plot.

    Args:
        name: any text.

    Returns:
        One line of at most 40 characters; longer names lose their middle.
    """
    shown = one_line(name)
    if len(shown) > _LONGEST:
        half = (_LONGEST - 1) // 2
        shown = f"{shown[:half]}…{shown[-half:]}"
    return (" " if shown.startswith("_") else "") + shown.replace("$", r"\$")
