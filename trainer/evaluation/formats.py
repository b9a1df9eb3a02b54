"""How numbers are written on a page: one precision for all of them.

A proportion has three decimals, or as a percentage one; a level that somebody chose, such as that
of an interval, has none.
"""

from collections.abc import Sequence

DIGITS = 3
_NO_BREAK = "\N{NO-BREAK SPACE}"


def number(value: float | None, digits: int = DIGITS) -> str:
    """Writes a number; one that would be rounded to 0 says which side of 0 it is on."""
    if value is None:
        return "–"
    smallest = 10**-digits
    if 0 < abs(value) < smallest / 2:
        sign = "<" if value > 0 else ">"
        return f"{sign}{_NO_BREAK}{smallest if value > 0 else -smallest:.{digits}f}"
    return f"{value:.{digits}f}"


def interval(bounds: Sequence[float] | None, digits: int = DIGITS) -> str:
    """Writes the bounds of an interval."""
    if bounds is None:
        return "no interval"
    return f" to{_NO_BREAK}".join(f"{bound:.{digits}f}" for bound in bounds)


def percent(value: float | None, digits: int = DIGITS - 2) -> str:
    """Writes a proportion as a percentage."""
    return "–" if value is None else f"{value:.{digits}%}".replace("%", f"{_NO_BREAK}%")


def p_value(value: float) -> str:
    """Writes a p-value."""
    smallest = 10**-DIGITS
    return f"<{_NO_BREAK}{smallest}" if value < smallest else f"{value:.{DIGITS}f}"
