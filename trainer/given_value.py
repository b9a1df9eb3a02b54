"""Converts values passed from Python code as their flags would."""

import numbers
import os
import reprlib
from collections.abc import Callable
from typing import Any

from trainer.errors import UserError

# Largest value of TensorFlow's float32.
LARGEST_FLOAT = 3.4e38


def typed(kind: type, name: str, value: Any) -> Any:
    """Converts a value to a flag's type: 1 becomes 1.0 for a float.

    Args:
        kind: the flag's type; for `str`, a path is accepted.
        name: name of the flag, for the error message.
        value: the value to convert.

    Raises:
        UserError: the value has the wrong type, or the type cannot represent it.
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
    """Returns the value's repr, truncated; never raises an error."""
    return _SHORT.repr(value)


def _number(value: numbers.Real) -> float:
    try:
        return float(value)
    except OverflowError as error:
        raise ValueError(f"of at most {LARGEST_FLOAT:g}") from error


def _text(value: str | os.PathLike) -> str:
    """Converts to a string that is valid in a path."""
    try:
        text = os.fsdecode(value)
    except TypeError as error:  # Of the user's own class of paths.
        raise ValueError(f"({error})") from error
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
        """Abbreviates integers above Python's limit of digits, 4,300 by default, at least 640."""
        bits = value.bit_length()
        return super().repr_int(value, level) if bits < 2000 else f"<a number of {bits} bits>"


_SHORT = _Short()
# The accepted types, the conversion and the description for each flag type.
_GIVEN: dict[type, tuple[type | tuple[type, ...], Callable[[Any], Any], str]] = {
    bool: (bool, bool, "True or False"),
    int: (numbers.Integral, int, "a whole number"),
    float: (numbers.Real, _number, "a number"),
    str: ((str, os.PathLike), _text, "text"),
    tuple: ((list, tuple), tuple, "a list"),
}
