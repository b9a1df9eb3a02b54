"""DeLong's test for two ROC areas on the same examples."""

import numpy as np
from scipy import stats

from trainer.evaluation.intervals import CONFIDENCE, Interval

_TOO_FEW = "DeLong's variance needs two examples of the class and two others"
_NO_SPREAD = "DeLong's variance is 0: it says nothing of the spread"


def difference_of_areas(
    positive: np.ndarray, first: np.ndarray, second: np.ndarray
) -> tuple[float, float | None]:
    """Returns the difference of two AUROCs and its standard error, for independent examples.

    DeLong, DeLong and Clarke-Pearson (1988), by the midranks of Sun and Xu (2014), "Fast
    implementation of DeLong's algorithm": sorting replaces the comparison of all pairs of examples.

    Args:
        positive: `[examples] bool`; must contain both values.
        first: `[examples] float`, scores of one model.
        second: `[examples] float`, scores of the other model.

    Returns:
        The first's area minus the second's; the standard error, None with fewer than two examples
        of either class.
    """
    parts = [
        of_first - of_second
        for of_first, of_second in zip(
            _placements(positive, first), _placements(positive, second), strict=True
        )
    ]
    difference = float(parts[0].mean())
    if min(map(len, parts)) < 2:
        return difference, None
    return difference, float(np.sqrt(sum(part.var(ddof=1) / len(part) for part in parts)))


def compare_areas(
    positive: np.ndarray, first: np.ndarray, second: np.ndarray
) -> tuple[float, Interval | None, float | None, str | None]:
    """Computes DeLong's paired test and interval.

    Args:
        positive: as for `difference_of_areas`.
        first: scores of one model.
        second: scores of the other model.

    Returns:
        The difference, its interval, the two-sided p-value for no difference, and why these are
        missing. Scores with identical ranks have a difference of 0 and a p-value of 1.
    """
    difference, error = difference_of_areas(positive, first, second)
    if error:
        reach = stats.norm.ppf((1 + CONFIDENCE) / 2) * error
        interval = (float(difference - reach), float(difference + reach))
        return difference, interval, float(2 * stats.norm.sf(abs(difference) / error)), None
    why = _TOO_FEW if error is None else _NO_SPREAD
    return difference, None, None if difference or error is None else 1.0, why


def _placements(positive: np.ndarray, scores: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Returns the share of negatives below each positive, and of positives above each negative."""
    ranks = stats.rankdata(scores)
    others_below, positives_below = (
        ranks[kind] - stats.rankdata(scores[kind]) for kind in (positive, ~positive)
    )
    return others_below / len(positives_below), 1 - positives_below / len(others_below)
