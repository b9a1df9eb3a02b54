"""95 % intervals by the percentile bootstrap (Efron, 1979)."""

import numpy as np
from statsmodels.stats.proportion import proportion_confint

Interval = tuple[float, float]

CONFIDENCE = 0.95
_SAME = 1e-12


def percentile_interval(samples: np.ndarray) -> Interval:
    """Returns the central 95 % interval of the resamples.

    Args:
        samples: `[resamples] float`.

    Returns:
        The lower and upper bound.
    """
    tail = (1 - CONFIDENCE) / 2
    low, high = np.quantile(samples, [tail, 1 - tail])
    return float(low), float(high)


def two_sided_p(samples: np.ndarray) -> float:
    """Returns twice the smaller share of resamples on one side of 0, counting the observed one.

    Args:
        samples: `[resamples] float`, values of a difference.

    Returns:
        The two-sided p-value for no difference.
    """
    below, above = np.sum(samples <= _SAME) + 1, np.sum(samples >= -_SAME) + 1
    return float(min(1.0, 2 * min(below, above) / (len(samples) + 1)))


def interval(
    samples: np.ndarray, counts: tuple[float, float] | None
) -> tuple[Interval | None, str | None]:
    """Computes the interval of a metric, and a note on it.

    Args:
        samples: `[resamples] float`, NaN if the metric is undefined.
        counts: for a proportion, the count and the number of independent examples. If all resamples
            agree, as when every prediction is correct, the exact binomial interval (Clopper and
            Pearson, 1934) is used.

    Returns:
        The interval, or None; and why it is missing or unusual, or None.
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
