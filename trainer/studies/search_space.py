"""The search space: ranges such as `1e-4 .. 1e-2 log`, and lists."""

import re
from typing import TYPE_CHECKING

from trainer.errors import UserError

if TYPE_CHECKING:
    from optuna.distributions import BaseDistribution

_NUMBER = r"[+-]?(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d+)?"
_RANGE = re.compile(rf"({_NUMBER})\s*\.\.\s*({_NUMBER})(\s+log)?", re.ASCII)
_WHOLE = re.compile(r"[+-]?\d+", re.ASCII)


def distribution_of(flag: str, listed: list[str]) -> "BaseDistribution | None":
    """Returns the distribution of a flag's values; None if there is only one.

    Args:
        flag: name of the flag.
        listed: a range, or the values of its line.

    Raises:
        UserError: the range is invalid, or Optuna is not installed.
    """
    found = _RANGE.fullmatch(listed[0])
    if found and len(listed) == 1:
        return _range(flag, found)
    if any(" .. " in value for value in listed):
        raise UserError(
            f"{flag} = {', '.join(listed)}: expected one range, such as 1e-4 .. 1e-2 log, or values"
        )
    if len(listed) == 1:
        return None
    from optuna.distributions import CategoricalDistribution

    return CategoricalDistribution(listed)


def ends_of(listed: list[str]) -> list[str]:
    """Returns both ends of a range, or all values of a list."""
    found = _RANGE.fullmatch(listed[0])
    return [found[1], found[2]] if found else listed


def _range(flag: str, found: re.Match[str]) -> "BaseDistribution":
    from optuna.distributions import FloatDistribution, IntDistribution

    is_whole = all(_WHOLE.fullmatch(end) for end in found.groups()[:2])
    low, high = float(found[1]), float(found[2])
    is_log = found[3] is not None
    if not low < high or (is_log and low <= 0):
        above = ", from above 0" if is_log else ""
        raise UserError(f"{flag} = {found[0]}: expected an increasing range{above}")
    if is_whole:
        return IntDistribution(int(found[1]), int(found[2]), log=is_log)
    return FloatDistribution(low, high, log=is_log)
