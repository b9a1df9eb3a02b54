"""Text that others chose, such as the name of a file: any of it can be written and shown."""

import unicodedata

# Control characters, marks that turn the direction of writing, surrogates, ends of lines.
_UNSHOWN = {"Cc", "Cf", "Cs", "Zl", "Zp"}


def as_unicode(text: str) -> str:
    r"""Writes a byte of a file's name that is no UTF-8, a surrogate in Python, as `\xff`.

    Args:
        text: any text.

    Returns:
        Text that every encoding of Unicode can hold.
    """
    return "".join(_escaped(c) if unicodedata.category(c) == "Cs" else c for c in text)


def first_line(error: BaseException) -> str:
    """What an error says, on one line; its type where it says nothing."""
    return next(iter(str(error).strip().splitlines()), "") or type(error).__name__


def one_line(text: str) -> str:
    r"""Writes what would end the line, move the cursor or hide as `\n`, `\x1b`, `\u202e`.

    Args:
        text: any text.

    Returns:
        One line that a terminal, a log and a page show as it is.
    """
    return "".join(_escaped(c) if unicodedata.category(c) in _UNSHOWN else c for c in text)


def spelling(text: str) -> str:
    """What all spellings of a name share, whatever their capitals, spaces and Unicode form.

    Args:
        text: a name, such as `Köln ` or `KÖLN`.
    """
    return " ".join(unicodedata.normalize("NFKC", text).casefold().split())


def _escaped(character: str) -> str:
    code = ord(character)
    if 0xDC80 <= code <= 0xDCFF:  # One byte, as Python keeps it.
        return f"\\x{code - 0xDC00:02x}"
    return character.encode("unicode_escape", "surrogatepass").decode()
