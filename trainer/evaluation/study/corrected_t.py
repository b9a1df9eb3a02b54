"""Intervals and tests for runs with overlapping training sets."""

import dataclasses
from collections.abc import Sequence

import numpy as np
from scipy import stats

from trainer.evaluation.intervals import CONFIDENCE, Interval

# Smaller spreads are rounding errors.
_SAME = 1e-12


@dataclasses.dataclass(frozen=True)
class RunMean:
    """The mean of a metric over runs.

    Attributes:
        runs: number of runs.
        mean: mean of the metric.
        sd: standard deviation over the runs; None for a single run, as are the following.
        standard_error: standard error of the mean.
        interval: 95 % interval of the mean.
        p_value: two-sided p-value for a mean of 0.
        why: why there is no interval; None if there is one.
    """

    runs: int
    mean: float
    sd: float | None = None
    standard_error: float | None = None
    interval: Interval | None = None
    p_value: float | None = None
    why: str | None = None


def corrected_resampled_t(values: Sequence[float], test_to_train: float) -> RunMean:
    """Computes the corrected resampled t interval and test.

    Runs that train on overlapping parts of one dataset are not independent, and the plain standard
    error of their mean is too small. Nadeau and Bengio (2003), "Inference for the generalization
    error", Machine Learning 52, replace `1/J` by `1/J + n_test/n_train`: the mean of J runs has the
    variance `(1/J + n_test/n_train) s^2`, with J - 1 degrees of freedom. Bouckaert and Frank (2004)
    use it for repeated cross-validation.

    Args:
        values: `[runs] float`, a metric of each run, or the difference within each pair of runs.
        test_to_train: number of test examples per training example of a run. 0 gives the t interval
            of independent values.

    Returns:
        The mean with its interval and test.
    """
    count, mean = len(values), float(np.mean(values))
    if count < 2:
        return RunMean(count, mean, why="a single run does not show the spread over runs")
    sd = float(np.std(values, ddof=1))
    if sd < _SAME:
        return RunMean(count, mean, sd, why="all runs agree, so they say nothing of their spread")
    error = sd * float(np.sqrt(1 / count + test_to_train))
    low, high = stats.t.interval(CONFIDENCE, df=count - 1, loc=mean, scale=error)
    p_value = 2 * stats.t.sf(abs(mean) / error, df=count - 1)
    return RunMean(count, mean, sd, error, (float(low), float(high)), float(p_value))
