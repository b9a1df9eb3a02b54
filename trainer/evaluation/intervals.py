"""95 % intervals by the percentile bootstrap (Efron, 1979)."""

import numpy as np
from statsmodels.stats.proportion import proportion_confint

Interval = tuple[float, float]

CONFIDENCE = 0.95
_SAME = 1e-12


def percentile_interval(samples: np.ndarray) -> Interval:
    """The interval that holds all but the outer 5 % of the resamples.

    Args:
        samples: `[resamples] float`.

    Returns:
        Its lower and upper bound.
    """
    tail = (1 - CONFIDENCE) / 2
    low, high = np.quantile(samples, [tail, 1 - tail])
    return float(low), float(high)


def two_sided_p(samples: np.ndarray) -> float:
    """Twice the smaller share of resamples on one side of 0, counting the one that was seen.

    Args:
        samples: `[resamples] float`, of a difference.

    Returns:
        The p-value of the difference being 0.
    """
    below, above = np.sum(samples <= _SAME) + 1, np.sum(samples >= -_SAME) + 1
    return float(min(1.0, 2 * min(below, above) / (len(samples) + 1)))


def interval(
    samples: np.ndarray, counts: tuple[float, float] | None
) -> tuple[Interval | None, str | None]:
    """The interval of a metric, and what is to be said of it.

    Args:
        samples: `[resamples] float`, NaN where the metric is undefined.
        counts: of a proportion, the count and of how many independent examples. Where all
            resamples agree, as when everything is right, its exact binomial interval (Clopper and
            Pearson, 1934) stands in.

    Returns:
        The interval or None, and why it is missing or unusual or None.
    """
    defined = samples[~np.isnan(samples)]
    if len(defined) == 0:
        return None, "no interval: undefined in all resamples"
    if np.ptp(defined) > _SAME:
        missing = len(samples) - len(defined)
        why = f"undefined in {missing:,} of {len(samples):,} resamples" if missing else None
        return percentile_interval(defined), why
    if counts:
        low, high = proportion_confint(*counts, alpha=1 - CONFIDENCE, method="beta")
        return (float(low), float(high)), "exact binomial interval: all resamples agree"
    return None, "no interval: all resamples agree, so they say nothing of its spread"
