"""Names of classes, models and files as Matplotlib may draw them."""

from cxr_command.foreign_text import one_line

_LONGEST = 40


def drawn(name: str) -> str:
    """Prepares a name that others chose for a picture.

    Matplotlib takes what stands between two `$` for a formula, and leaves out of a legend what
    begins with an underscore; a name without end would leave no room for what is drawn.

    Args:
        name: any text.

    Returns:
        One line of at most 40 letters, the middle left out where there were more.
    """
    shown = one_line(name)
    if len(shown) > _LONGEST:
        half = (_LONGEST - 1) // 2
        shown = f"{shown[:half]}…{shown[-half:]}"
    return (" " if shown.startswith("_") else "") + shown.replace("$", r"\$")
