"""A value that Python code gives for a flag, as the flag would have given it."""

import numbers
import os
import reprlib
from collections.abc import Callable
from typing import Any

from trainer.errors import UserError

# What TensorFlow's float32 can hold.
LARGEST_FLOAT = 3.4e38


def typed(kind: type, name: str, value: Any) -> Any:
    """A value of a flag's type: 1 for a number of float is 1.0.

    Args:
        kind: the flag's type; for `str`, a path will do.
        name: of the flag, for the error's text.
        value: what was given.

    Raises:
        UserError: it is of another type, or one that the type cannot hold.
    """
    accepted, convert, what = _GIVEN[kind]
    expected = f"--{name}={shown(value)}: expected {what}"
    if not isinstance(value, accepted) or isinstance(value, bool) != (kind is bool):
        raise UserError(expected)
    try:
        return convert(value)
    except ValueError as error:
        raise UserError(f"{expected} {error}") from error


def shown(value: object) -> str:
    """A value as Python writes it, cut short; whatever it is, this raises no error."""
    return _SHORT.repr(value)


def _number(value: numbers.Real) -> float:
    try:
        return float(value)
    except OverflowError as error:
        raise ValueError(f"of at most {LARGEST_FLOAT:g}") from error


def _text(value: str | os.PathLike) -> str:
    """A text that a path can have."""
    text = os.fsdecode(value)
    try:
        has_null = b"\0" in os.fsencode(text)
    except UnicodeEncodeError as error:
        raise ValueError("without half of a surrogate pair") from error
    if has_null:
        raise ValueError("without a null character")
    return text


class _Short(reprlib.Repr):
    def __init__(self) -> None:
        super().__init__()
        self.maxstring = self.maxother = self.maxlong = 80

    def repr_int(self, value: int, level: int) -> str:
        """Python may refuse to write more than 640 digits; by default, than 4,300."""
        bits = value.bit_length()
        return super().repr_int(value, level) if bits < 2000 else f"<a number of {bits} bits>"


_SHORT = _Short()
# What stands for a type, how it becomes one, what it is.
_GIVEN: dict[type, tuple[type | tuple[type, ...], Callable[[Any], Any], str]] = {
    bool: (bool, bool, "True or False"),
    int: (numbers.Integral, int, "a whole number"),
    float: (numbers.Real, _number, "a number"),
    str: ((str, os.PathLike), _text, "text"),
    tuple: ((list, tuple), tuple, "a list"),
}
