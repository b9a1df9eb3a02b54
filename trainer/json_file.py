"""JSON files that are read back: every value is checked before it is believed."""

import datetime
import json
import math
import os
import pathlib
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

from trainer.parsing import parsing


class Field(NamedTuple):
    """What a value has to be.

    Attributes:
        expected: in words.
        fits: whether a value is that.
        is_required: whether it may not be missing.
    """

    expected: str
    fits: Callable[[Any], bool]
    is_required: bool = True

    def or_none(self) -> "Field":
        """The same, or null."""
        return Field(f"{self.expected} or null", lambda v: v is None or self.fits(v))

    def if_given(self) -> "Field":
        """The same where it is given: files of earlier versions lack it."""
        return self._replace(is_required=False)


def integer(least: int, most: float = math.inf) -> Field:
    """An integer within bounds, both of them allowed."""
    bounds = f"of {least} or more" if most == math.inf else f"from {least} to {most}"
    return Field(f"an integer {bounds}", lambda v: _is_integer(v) and least <= v <= most)


def number(least: float = -math.inf, most: float = math.inf) -> Field:
    """A finite number within bounds, both of them allowed."""
    within = "" if least == -math.inf and most == math.inf else f" from {least} to {most}"
    return Field(
        f"a finite number{within}",
        lambda v: (
            (_is_integer(v) or isinstance(v, float)) and math.isfinite(v) and least <= v <= most
        ),
    )


def text(*choices: str) -> Field:
    """A text, one of the choices if there are any."""
    expected = f"one of {', '.join(choices)}" if choices else "a text"
    return Field(expected, lambda v: isinstance(v, str) and (not choices or v in choices))


def moment() -> Field:
    """A time as ISO 8601 writes it, with its zone."""
    return Field("a time such as 2026-01-31T12:00:00+00:00", _is_moment)


def list_of(item: Field) -> Field:
    """A list of such values."""
    return Field(
        f"a list, each {item.expected}", lambda v: isinstance(v, list) and all(map(item.fits, v))
    )


def record(fields: Mapping[str, Field]) -> Field:
    """A JSON object with such fields, and maybe more."""
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
    """A JSON object, of any values or of such."""
    return Field(
        "an object" + (f", each value {of.expected}" if of else ""),
        lambda v: isinstance(v, dict) and (of is None or all(map(of.fits, v.values()))),
    )


def read_object(
    path: str | os.PathLike, fields: Mapping[str, Field], advice: str
) -> dict[str, Any]:
    """Reads a JSON object, and compares its fields with what they have to be.

    Args:
        path: the file.
        fields: what must, or may, be in it; more may be there.
        advice: what the user can do about a file that is something else, a clause.

    Returns:
        Its content.

    Raises:
        Unreadable: the system could not read it.
        Damaged: it is missing, no JSON object, or a field is not what it has to be.
    """
    with parsing(path, advice):
        return _checked(_loads(pathlib.Path(path).read_text(encoding="utf-8")), fields)


def read_lines(
    path: str | os.PathLike, fields: Mapping[str, Field], advice: str
) -> list[dict[str, Any]]:
    """Reads a file of one JSON object a line, as `read_object` reads one."""
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
