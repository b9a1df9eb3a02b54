"""Intervals and tests over runs whose training sets overlap."""

import dataclasses
from collections.abc import Sequence

import numpy as np
from scipy import stats

from trainer.evaluation.intervals import CONFIDENCE, Interval

# A spread below this is rounding.
_SAME = 1e-12


@dataclasses.dataclass(frozen=True)
class RunMean:
    """The mean of a number over runs.

    Attributes:
        runs: how many.
        mean: of the number.
        sd: its standard deviation from run to run; None for one run, like what follows.
        standard_error: of the mean.
        interval: 95 %, of the mean.
        p_value: two-sided, of the mean being 0.
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
    """The corrected resampled t interval and test.

    Runs that train on overlapping parts of one dataset are not independent, and the plain standard
    error of their mean is too small. Nadeau and Bengio (2003), "Inference for the generalization
    error", Machine Learning 52, put `1/J + n_test/n_train` in the place of `1/J`: the mean of J
    runs has the variance `(1/J + n_test/n_train) s^2`, with J - 1 degrees of freedom. Bouckaert and
    Frank (2004) use it for repeated cross-validation.

    Args:
        values: `[runs] float`, a number of each run, or the difference of two runs in each pair.
        test_to_train: examples that a run is tested on, for each example that it is trained on. 0
            gives the t interval of independent values.

    Returns:
        The mean, its interval and test.
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
