"""Makes arbitrary text, such as a file name, safe to write and show."""

import unicodedata

# Control characters, direction marks, surrogates and line separators.
_UNSHOWN = {"Cc", "Cf", "Cs", "Zl", "Zp"}


def as_unicode(text: str) -> str:
    r"""Replaces undecodable bytes of a file's name, surrogates in Python, by escapes like `\xff`.

    Args:
        text: any text.

    Returns:
        Text that every Unicode encoding can represent.
    """
    return "".join(_escaped(c) if unicodedata.category(c) == "Cs" else c for c in text)


def first_line(error: BaseException) -> str:
    """Returns an error's message on one line; its type if the message is empty."""
    return next(iter(str(error).strip().splitlines()), "") or type(error).__name__


def one_line(text: str) -> str:
    r"""Escapes line breaks, control and invisible characters, as `\n`, `\x1b`, `\u202e`.

    Args:
        text: any text.

    Returns:
        One line that is safe to show in a terminal, a log or a page.
    """
    return "".join(_escaped(c) if unicodedata.category(c) in _UNSHOWN else c for c in text)


def spelling(text: str) -> str:
    """Normalizes capitals, spaces and Unicode form, so that all spellings of a name are equal.

    Args:
        text: a name, such as `Köln ` or `KÖLN`.
    """
    return " ".join(unicodedata.normalize("NFKC", text).casefold().split())


def _escaped(character: str) -> str:
    code = ord(character)
    if 0xDC80 <= code <= 0xDCFF:  # An undecodable byte, as represented by Python.
        return f"\\x{code - 0xDC00:02x}"
    return character.encode("unicode_escape", "surrogatepass").decode()
