"""Reading and validation of JSON files."""

import datetime
import json
import math
import os
import pathlib
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

from trainer.parsing import parsing


class Field(NamedTuple):
    """The condition that a value must meet.

    Attributes:
        expected: description of a valid value, for error messages.
        fits: whether a value is valid.
        is_required: whether the value must be present.
    """

    expected: str
    fits: Callable[[Any], bool]
    is_required: bool = True

    def or_none(self) -> "Field":
        """Returns this field, extended to allow null."""
        return Field(f"{self.expected} or null", lambda v: v is None or self.fits(v))

    def if_given(self) -> "Field":
        """Returns this field as optional, for values that files of earlier versions lack."""
        return self._replace(is_required=False)


def integer(least: int, most: float = math.inf) -> Field:
    """An integer between inclusive bounds."""
    bounds = f"of {least} or more" if most == math.inf else f"from {least} to {most}"
    return Field(f"an integer {bounds}", lambda v: _is_integer(v) and least <= v <= most)


def number(least: float = -math.inf, most: float = math.inf) -> Field:
    """A finite number between inclusive bounds."""
    within = "" if least == -math.inf and most == math.inf else f" from {least} to {most}"
    return Field(
        f"a finite number{within}",
        lambda v: (
            (_is_integer(v) or isinstance(v, float)) and math.isfinite(v) and least <= v <= most
        ),
    )


def text(*choices: str) -> Field:
    """A string; one of the choices, if any are given."""
    expected = f"one of {', '.join(choices)}" if choices else "a text"
    return Field(expected, lambda v: isinstance(v, str) and (not choices or v in choices))


def moment() -> Field:
    """A time in ISO 8601 format with a time zone."""
    return Field("a time such as 2026-01-31T12:00:00+00:00", _is_moment)


def list_of(item: Field) -> Field:
    """A list whose items are all valid."""
    return Field(
        f"a list, each {item.expected}", lambda v: isinstance(v, list) and all(map(item.fits, v))
    )


def record(fields: Mapping[str, Field]) -> Field:
    """A JSON object with these fields; further ones are allowed."""
    listed = ", ".join(f"{name} ({field.expected})" for name, field in fields.items())
    return Field(
        f"an object with {listed}",
        lambda v: (
            isinstance(v, dict)
            and all(
                field.fits(v[name]) if name in v else not field.is_required
                for name, field in fields.items()
            )
        ),
    )


def mapping(of: Field | None = None) -> Field:
    """A JSON object with arbitrary keys, whose values are valid if a field is given."""
    return Field(
        "an object" + (f", each value {of.expected}" if of else ""),
        lambda v: isinstance(v, dict) and (of is None or all(map(of.fits, v.values()))),
    )


def read_object(
    path: str | os.PathLike, fields: Mapping[str, Field], advice: str
) -> dict[str, Any]:
    """Reads a JSON object and validates its fields.

    Args:
        path: the file.
        fields: the required and optional fields; further ones are allowed.
        advice: what the user can do about an invalid file, as a clause.

    Returns:
        The content of the file.

    Raises:
        Unreadable: the operating system could not read the file.
        Damaged: the file is missing or not a JSON object, or a field is invalid.
    """
    with parsing(path, advice):
        return _checked(_loads(pathlib.Path(path).read_text(encoding="utf-8")), fields)


def read_lines(
    path: str | os.PathLike, fields: Mapping[str, Field], advice: str
) -> list[dict[str, Any]]:
    """Reads a file with one JSON object per line, validated as by `read_object`."""
    with parsing(path, advice):
        rows = []
        lines = pathlib.Path(path).read_text(encoding="utf-8").splitlines()
        for index, line in enumerate(lines, start=1):
            try:
                rows.append(_checked(_loads(line), fields))
            except ValueError as error:
                raise ValueError(f"line {index}: {error}") from error
        return rows


def _checked(content: Any, fields: Mapping[str, Field]) -> dict[str, Any]:
    if not isinstance(content, dict):
        raise ValueError(f"expected a JSON object, found {_shown(content)}")
    for name, field in fields.items():
        if name not in content:
            if field.is_required:
                raise ValueError(f"field {name!r} is missing, expected {field.expected}")
        elif not field.fits(content[name]):
            raise ValueError(
                f"field {name!r} is {_shown(content[name])}, expected {field.expected}"
            )
    return content


def _loads(text: str) -> Any:
    try:
        return json.loads(text)
    except RecursionError as error:
        raise ValueError("it is nested too deeply") from error


def _shown(value: Any) -> str:
    shown = json.dumps(value, ensure_ascii=False)
    return shown if len(shown) <= 60 else f"{shown[:57]}..."


def _is_moment(value: Any) -> bool:
    try:
        return datetime.datetime.fromisoformat(value).tzinfo is not None
    except (TypeError, ValueError):
        return False


def _is_integer(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)
