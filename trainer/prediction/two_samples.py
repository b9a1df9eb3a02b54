"""Whether two samples are of one distribution: single numbers, and vectors."""

import dataclasses

import numpy as np
from scipy import stats
from scipy.spatial import distance

from trainer.evaluation.intervals import CONFIDENCE, Interval, percentile_interval

# Of the bootstrap and of the permutation test.
DRAWS = 1_000


@dataclasses.dataclass(frozen=True)
class Difference:
    """How far two samples differ.

    Attributes:
        statistic: 0 where they do not.
        interval: its 95 % interval, by the bootstrap.
        p: of the test that both are of one distribution.
    """

    statistic: float
    interval: Interval
    p: float


def kolmogorov_smirnov(one: np.ndarray, other: np.ndarray, seed: int) -> Difference:
    """The largest difference of two distribution functions, with SciPy's test.

    The interval comes from the band that holds the whole difference of the two functions in 95 % of
    the resamples (Bickel & Krieger, 1989): percentiles of the largest difference, which grows with
    resampling, would hardly ever cover a small one. It is wide rather than narrow.

    Args:
        one: `[one] float`.
        other: `[other] float`.
        seed: of the bootstrap.

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
    """The squared maximum mean discrepancy (Gretton et al., 2012), without bias.

    The kernel is Gaussian, its width the median distance of all pairs. The p-value is that of a
    permutation test. Resamples leave pairs of a vector with its own copy out, which would add bias.

    Args:
        one: `[one, features] float`, two vectors or more.
        other: `[other, features] float`, likewise.
        seed: of permutations and bootstrap.

    Returns:
        The discrepancy, which is below 0 at times where there is none.
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
    drawn = drawn[np.isfinite(drawn)]  # Of a few vectors it may have drawn one alone.
    p = (1 + np.sum(chance >= statistic)) / (1 + DRAWS)
    return Difference(float(statistic), percentile_interval(drawn), float(p))


def _discrepancies(kernel: np.ndarray, one: np.ndarray, other: np.ndarray) -> np.ndarray:
    """Squared discrepancies of samples that hold each vector as often as weights say.

    Args:
        kernel: `[vectors, vectors]`, 0 on the diagonal.
        one: `[samples, vectors]`, the weights of one sample.
        other: likewise.

    Returns:
        `[samples]`; NaN where a sample holds one vector alone.
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
    """How often each of two samples was drawn, `[DRAWS, one]` and `[DRAWS, other]`."""
    generator = np.random.default_rng(seed)
    of_one, of_other = (
        generator.multinomial(size, np.full(size, 1 / size), size=DRAWS) for size in (one, other)
    )
    return of_one, of_other
