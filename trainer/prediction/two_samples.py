"""Two-sample tests for scalars and vectors."""

import dataclasses

import numpy as np
from scipy import stats
from scipy.spatial import distance

from trainer.evaluation.intervals import CONFIDENCE, Interval, percentile_interval

# Number of bootstrap resamples and permutations.
DRAWS = 1_000


@dataclasses.dataclass(frozen=True)
class Difference:
    """The difference between two samples.

    Attributes:
        statistic: the statistic, 0 for no difference.
        interval: its 95 % bootstrap interval.
        p: p-value for both samples coming from one distribution.
    """

    statistic: float
    interval: Interval
    p: float


def kolmogorov_smirnov(one: np.ndarray, other: np.ndarray, seed: int) -> Difference:
    """Computes the largest difference of two distribution functions, with SciPy's test.

    The interval is derived from a band that contains the whole difference function in 95 % of the
    resamples (Bickel & Krieger, 1989), because resampling increases the largest difference, so that
    its percentiles would rarely cover a small one. The interval is conservative.

    Args:
        one: `[one] float`.
        other: `[other] float`.
        seed: seed of the bootstrap.

    Returns:
        The difference, 0 to 1.
    """
    found = stats.ks_2samp(one, other)
    values = np.concatenate([one, other])
    order = np.argsort(values, kind="stable")
    ends = np.append(np.diff(values[order]) > 0, True)
    of_one, of_other = _resamples(len(one), len(other), seed)
    counts = np.concatenate([of_one / len(one), -of_other / len(other)], axis=1)
    seen = np.repeat([1 / len(one), -1 / len(other)], [len(one), len(other)])
    apart = (counts - seen)[:, order].cumsum(axis=1)[:, ends]
    band = float(np.quantile(np.abs(apart).max(axis=1), CONFIDENCE))
    statistic = float(found.statistic)
    interval = (max(0.0, statistic - band), min(1.0, statistic + band))
    return Difference(statistic, interval, float(found.pvalue))


def maximum_mean_discrepancy(one: np.ndarray, other: np.ndarray, seed: int) -> Difference:
    """Computes the unbiased squared maximum mean discrepancy (Gretton et al., 2012).

    The kernel is Gaussian; its width is the median distance of all pairs. The p-value is from a
    permutation test. Resamples exclude pairs of a vector with its own copy, which would add bias.

    Args:
        one: `[one, features] float`, at least two vectors.
        other: `[other, features] float`, at least two vectors.
        seed: seed of permutations and bootstrap.

    Returns:
        The discrepancy; the estimate may be negative if there is none.
    """
    squares = distance.squareform(distance.pdist(np.concatenate([one, other]), "sqeuclidean"))
    pairs = squares[np.triu_indices(len(squares), 1)]
    width = np.median(pairs) or 1.0  # The median of squares is the square of the median.
    kernel = np.exp(-squares / (2 * width))
    np.fill_diagonal(kernel, 0)
    is_one = np.arange(len(kernel)) < len(one)
    statistic = _discrepancies(kernel, is_one[None].astype(float), ~is_one[None])[0]
    permuted = np.random.default_rng(seed).permuted(np.tile(is_one, (DRAWS, 1)), axis=1)
    chance = _discrepancies(kernel, permuted, ~permuted)
    of_one, of_other = _resamples(len(one), len(other), seed)
    drawn = _discrepancies(
        kernel,
        np.hstack([of_one, np.zeros((DRAWS, len(other)))]),
        np.hstack([np.zeros((DRAWS, len(one))), of_other]),
    )
    drawn = drawn[np.isfinite(drawn)]  # NaN if only one vector was drawn.
    p = (1 + np.sum(chance >= statistic)) / (1 + DRAWS)
    return Difference(float(statistic), percentile_interval(drawn), float(p))


def _discrepancies(kernel: np.ndarray, one: np.ndarray, other: np.ndarray) -> np.ndarray:
    """Computes squared discrepancies of weighted samples.

    Args:
        kernel: `[vectors, vectors]`, 0 on the diagonal.
        one: `[samples, vectors]`, multiplicities of the vectors in one sample.
        other: the same for the other sample.

    Returns:
        `[samples]`; NaN if a sample holds only one distinct vector.
    """
    one, other = one.astype(float), other.astype(float)
    from_one, from_other = one @ kernel, other @ kernel
    with np.errstate(invalid="ignore"):
        within = sum(
            (weights * reached).sum(axis=1) / (weights.sum(axis=1) ** 2 - (weights**2).sum(axis=1))
            for weights, reached in ((one, from_one), (other, from_other))
        )
    between = (from_one * other).sum(axis=1) / (one.sum(axis=1) * other.sum(axis=1))
    return within - 2 * between


def _resamples(one: int, other: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Draws multiplicities of two bootstrap samples, `[DRAWS, one]` and `[DRAWS, other]`."""
    generator = np.random.default_rng(seed)
    of_one, of_other = (
        generator.multinomial(size, np.full(size, 1 / size), size=DRAWS) for size in (one, other)
    )
    return of_one, of_other
