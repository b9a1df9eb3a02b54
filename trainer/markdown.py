"""Text that others chose, in Markdown: it is read as it stands and never as markup."""

import re

from markupsafe import Markup

from cxr_command.foreign_text import one_line

# An underscore inside a word, as in the name of a dataset, is no markup.
_MARKUP = re.compile(r"[\\`*\[\]<>&|~$]|(?<!\w)_|_(?!\w)|^[-+=#](?![\d.])")
_NUMBERED_ITEM = re.compile(r"^(\d{1,9})([.)])(?=\s|$)")


def escape(value: object) -> str:
    """Writes a value into a line or a table's cell.

    Args:
        value: anything that a text can be made of; what `code` gave stays as it is.

    Returns:
        One line, in which a backslash stands before what would be markup.
    """
    if isinstance(value, Markup):
        return str(value)
    line = _MARKUP.sub(r"\\\g<0>", one_line(str(value).strip()))
    return _NUMBERED_ITEM.sub(r"\1\\\2", line)


def code(text: str) -> Markup:
    """Writes a text into a block of code, in which a backslash would be shown: one line."""
    return Markup(one_line(text))  # noqa: S704 - it is Markdown, and marks what needs no escape.
