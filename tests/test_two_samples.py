import itertools

import numpy as np
import pytest
from scipy import stats
from scipy.spatial.distance import pdist

from trainer.prediction import two_samples
from trainer.prediction.two_samples import kolmogorov_smirnov, maximum_mean_discrepancy


@pytest.fixture(autouse=True)
def few_draws(monkeypatch):
    monkeypatch.setattr(two_samples, "DRAWS", 300)


def drawn(one=30, other=40, shift=0.5, seed=0, width=3):
    generator = np.random.default_rng(seed)
    return generator.normal(size=(one, width)), generator.normal(shift, 1, (other, width))


def of_pairs(one, other):
    """The unbiased discrepancy, written as its definition has it, and the kernel."""
    width = np.median(pdist(np.concatenate([one, other])))

    def kernel(x, y):
        return np.exp(-np.sum((x - y) ** 2) / (2 * width**2))

    def within(some):
        return np.mean([kernel(x, y) for x, y in itertools.permutations(some, 2)])

    between = np.mean([kernel(x, y) for x, y in itertools.product(one, other)])
    return within(one) + within(other) - 2 * between


def test_the_discrepancy_is_that_of_the_definition():
    for seed in range(3):
        one, other = drawn(8, 11, seed=seed)
        found = maximum_mean_discrepancy(one, other, 0)
        assert found.statistic == pytest.approx(of_pairs(one, other), abs=1e-12)


def test_its_p_value_is_that_of_scipys_permutation_test():
    one, other = drawn(12, 15, shift=0.4)
    ours = maximum_mean_discrepancy(one, other, 0)
    theirs = stats.permutation_test(
        (np.arange(12), np.arange(12, 27)),
        lambda a, b: of_pairs(*(np.concatenate([one, other])[rows] for rows in (a, b))),
        n_resamples=300, alternative="greater", rng=1,
    )  # fmt: skip
    assert theirs.statistic == pytest.approx(ours.statistic, abs=1e-9)
    assert theirs.pvalue == pytest.approx(ours.p, abs=0.08)


def test_resamples_weigh_pairs_as_repeating_the_vectors_does():
    """But for the pairs of a vector and its own copy, which say nothing."""
    kernel = np.exp(-np.random.default_rng(0).random((7, 7)))
    kernel = kernel + kernel.T
    np.fill_diagonal(kernel, 0)
    counts = np.array([2, 0, 1, 1, 3, 1, 0])
    one, other = counts * (np.arange(7) < 3), counts * (np.arange(7) >= 3)
    (found,) = two_samples._discrepancies(kernel, one[None], other[None])

    def within(weights):
        rows = np.repeat(np.arange(7), weights)
        pairs = [(i, j) for i, j in itertools.product(rows, rows) if i != j]
        return np.mean([kernel[pair] for pair in pairs])

    rows, columns = (np.repeat(np.arange(7), weights) for weights in (one, other))
    expected = within(one) + within(other) - 2 * kernel[np.ix_(rows, columns)].mean()
    assert found == pytest.approx(expected, abs=1e-12)


def test_the_largest_difference_is_scipys():
    for size in (15, 400):
        one, other = (values[:, 0].round(1) for values in drawn(size, 2 * size))
        found = kolmogorov_smirnov(one, other, 0)
        expected = stats.ks_2samp(one, other)
        assert found.statistic == pytest.approx(expected.statistic, abs=1e-12)
        assert found.p == pytest.approx(expected.pvalue, abs=1e-12)
        low, high = found.interval
        assert 0 <= low < found.statistic < high <= 1


def test_its_band_is_that_of_resamples_drawn_one_by_one():
    one, other = (values[:, 0] for values in drawn(60, 80))
    low, high = kolmogorov_smirnov(one, other, 0).interval
    generator, places = np.random.default_rng(5), np.sort(np.concatenate([one, other]))

    def difference(a, b):
        return np.array([np.mean(a <= x) - np.mean(b <= x) for x in places])

    seen = difference(one, other)
    apart = [
        np.abs(difference(generator.choice(one, 60), generator.choice(other, 80)) - seen).max()
        for _ in range(300)
    ]
    assert (high - low) / 2 == pytest.approx(np.quantile(apart, 0.95), abs=0.03)


def test_the_same_seed_gives_the_same():
    one, other = drawn()
    for compare in (lambda *a: kolmogorov_smirnov(a[0][:, 0], a[1][:, 0], a[2]),
                    maximum_mean_discrepancy):  # fmt: skip
        assert compare(one, other, 4) == compare(one, other, 4) != compare(one, other, 5)


def test_a_few_vectors_are_compared_too():
    one, other = drawn(30, 3, shift=3.0)
    found = maximum_mean_discrepancy(one, other, 0)
    low, high = found.interval
    assert low < found.statistic and np.isfinite([low, high]).all()


def test_vectors_that_are_all_the_same_do_not_differ():
    found = maximum_mean_discrepancy(np.ones((20, 3)), np.ones((30, 3)), 0)
    assert (found.statistic, found.p) == (0, 1)


# The true numbers of normal distributions that lie so far apart in each of three directions.
def ks_truth(shift):
    return 2 * stats.norm.cdf(shift / 2) - 1


def mmd_truth(shift, width, size=3):
    """Of a Gaussian kernel: the expectation over both normal distributions."""
    scale = (width**2 / (width**2 + 2)) ** (size / 2)
    return 2 * scale * (1 - np.exp(-size * shift**2 / (2 * (width**2 + 2))))


def simulated(trials, shift, size=30):
    """Of both tests how often they reject, and how often the interval covers the truth."""
    rejected, covered = np.zeros(2), np.zeros(2)
    for trial in range(trials):
        one, other = drawn(size, size, shift=shift, seed=trial)
        single = kolmogorov_smirnov(one[:, 0], other[:, 0], trial)
        vector = maximum_mean_discrepancy(one, other, trial)
        truths = (ks_truth(shift), mmd_truth(shift, np.median(pdist(np.concatenate([one, other])))))
        for place, (found, truth) in enumerate(zip((single, vector), truths, strict=True)):
            rejected[place] += found.p <= 0.05
            covered[place] += found.interval[0] - 1e-9 <= truth <= found.interval[1] + 1e-9
    return rejected / trials, covered / trials


def test_error_power_and_coverage(monkeypatch):
    monkeypatch.setattr(two_samples, "DRAWS", 100)
    errors, coverage = simulated(25, 0.0, size=20)
    assert (errors < 0.25).all() and (coverage > 0.8).all()
    power, coverage = simulated(25, 2.0, size=20)
    assert (power > 0.9).all() and (coverage > 0.75).all()


@pytest.mark.slow
@pytest.mark.parametrize("shift", [0.0, 0.4, 0.8])
def test_drill_of_error_power_and_coverage(shift):
    rejected, coverage = simulated(1000, shift)
    for name, share, covered in zip(("KS", "MMD"), rejected, coverage, strict=True):
        print(f"{name}, 30 and 30, shift {shift}: rejected at 5 % in {share:.1%}, "
              f"95 % interval covers in {covered:.1%}")  # fmt: skip
    assert (coverage > 0.93).all()
    if shift == 0:
        assert (rejected < 0.07).all()
