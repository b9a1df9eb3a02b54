import numpy as np
import pytest
from scipy import stats
from sklearn import metrics

from trainer.evaluation.delong import compare_areas


def draw(seed=0, positives=40, others=70):
    """Two models' scores, rounded so that many are equal."""
    generator = np.random.default_rng(seed)
    positive = generator.permutation(np.repeat([True, False], [positives, others]))
    shared, *own = generator.normal(size=(3, len(positive)))
    first, second = (np.round(shared + noise + positive, 1) for noise in own)
    return positive, first, second


def test_the_test_is_that_of_comparing_each_two_examples():
    """DeLong et al. (1988), equations 3 to 6, with a matrix of all pairs."""
    positive, first, second = draw()
    kernels = [
        (scores[positive][:, None] > scores[~positive])
        + 0.5 * (scores[positive][:, None] == scores[~positive])
        for scores in (first, second)
    ]
    of_positives = np.cov([kernel.mean(axis=1) for kernel in kernels]) / positive.sum()
    of_others = np.cov([kernel.mean(axis=0) for kernel in kernels]) / (~positive).sum()
    contrast = np.array([1, -1])
    error = np.sqrt(contrast @ (of_positives + of_others) @ contrast)
    value = metrics.roc_auc_score(positive, first) - metrics.roc_auc_score(positive, second)

    difference, interval, p, why = compare_areas(positive, first, second)
    assert difference == pytest.approx(value, abs=1e-9)
    expected = stats.norm.interval(0.95, value, error)
    np.testing.assert_allclose(interval, expected, rtol=0, atol=1e-9)
    assert p == pytest.approx(2 * stats.norm.sf(abs(value) / error), abs=1e-9)
    assert why is None


def test_where_there_is_no_spread_there_is_no_interval():
    positive, first, _ = draw()
    # Another scale, the same ranking.
    assert compare_areas(positive, first, 3 * first)[:3] == (0.0, None, 1.0)
    perfect = positive.astype(float)
    difference, interval, p, why = compare_areas(positive, perfect, np.zeros(len(positive)))
    assert (difference, interval, p) == (0.5, None, None)
    assert "variance is 0" in why


def test_one_example_of_a_kind_is_too_few():
    difference, interval, p, why = compare_areas(*draw(positives=1))
    assert np.isfinite(difference)
    assert (interval, p) == (None, None)
    assert "two examples" in why
