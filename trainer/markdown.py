"""Escapes arbitrary text for Markdown, so that it is never read as markup."""

import re

from markupsafe import Markup

from cxr_command.foreign_text import one_line

# An underscore inside a word, as in a dataset's name, is not markup.
_MARKUP = re.compile(r"[\\`*\[\]<>&|~$]|(?<!\w)_|_(?!\w)|^[-+=#](?![\d.])")
_NUMBERED_ITEM = re.compile(r"^(\d{1,9})([.)])(?=\s|$)")


def escape(value: object) -> str:
    """Escapes a value for a line of text or a table cell.

    Args:
        value: any value with a string form; the result of `code` is returned unchanged.

    Returns:
        One line, with a backslash before each character that would be markup.
    """
    if isinstance(value, Markup):
        return str(value)
    line = _MARKUP.sub(r"\\\g<0>", one_line(str(value).strip()))
    return _NUMBERED_ITEM.sub(r"\1\\\2", line)


def code(text: str) -> Markup:
    """Formats a text as inline code on one line, where backslash escapes would be visible."""
    return Markup(one_line(text))  # noqa: S704 - it is Markdown, and marks what needs no escape.
