"""Number formats of the reports, with one precision for each kind.

A proportion has three decimals, or one as a percentage; a chosen level, such as that of an
interval, has none.
"""

from collections.abc import Sequence

DIGITS = 3
_NO_BREAK = "\N{NO-BREAK SPACE}"


def number(value: float | None, digits: int = DIGITS) -> str:
    """Formats a number; one that rounds to 0 is shown with the side of 0 it is on."""
    if value is None:
        return "–"
    smallest = 10**-digits
    if 0 < abs(value) < smallest / 2:
        sign = "<" if value > 0 else ">"
        return f"{sign}{_NO_BREAK}{smallest if value > 0 else -smallest:.{digits}f}"
    return f"{value:.{digits}f}"


def interval(bounds: Sequence[float] | None, digits: int = DIGITS) -> str:
    """Formats the bounds of an interval."""
    if bounds is None:
        return "no interval"
    return f" to{_NO_BREAK}".join(f"{bound:.{digits}f}" for bound in bounds)


def percent(value: float | None, digits: int = DIGITS - 2) -> str:
    """Formats a proportion as a percentage."""
    return "–" if value is None else f"{value:.{digits}%}".replace("%", f"{_NO_BREAK}%")


def p_value(value: float) -> str:
    """Formats a p-value."""
    smallest = 10**-DIGITS
    return f"<{_NO_BREAK}{smallest}" if value < smallest else f"{value:.{DIGITS}f}"
