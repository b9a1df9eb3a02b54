import numpy as np
import pytest
from scipy import special
from statsmodels.discrete.discrete_model import Logit

from trainer.evaluation.recalibration import log_odds, recalibrate


def draw(count=300, seed=0):
    generator = np.random.default_rng(seed)
    odds = generator.normal(-1, 2, count)
    return generator.random(count) < special.expit(0.4 + 0.7 * odds), odds


def newton(design, occurred, offset, groups):
    """Coefficients and their cluster-robust covariance, from the formulas."""
    found = np.zeros(design.shape[1])
    for _ in range(50):
        chance = special.expit(offset + design @ found)
        bread = np.linalg.inv(design.T * (chance * (1 - chance)) @ design)
        found = found + bread @ design.T @ (occurred - chance)
    scores = np.eye(groups.max() + 1)[groups].T @ (design * (occurred - chance)[:, None])
    size, columns = design.shape
    clusters = len(scores)
    correction = clusters / (clusters - 1) * (size - 1) / (size - columns)
    return found, np.sqrt(np.diag(bread @ scores.T @ scores @ bread) * correction)


@pytest.mark.parametrize("copies", [1, 3])
def test_slope_and_intercept_are_those_of_the_formulas(copies):
    occurred, odds = draw()
    groups = np.repeat(np.arange(len(odds) // copies), copies)
    numbers = recalibrate(occurred, odds, groups)
    ones = np.ones(len(odds))
    for name, design, offset in (
        ("slope", np.stack([ones, odds], axis=1), 0),
        ("intercept", ones[:, None], odds),
    ):
        found, error = newton(design, occurred, offset, groups)
        assert numbers.values[name] == pytest.approx(found[-1], abs=1e-9)
        expected = found[-1] + np.array([-1, 1]) * 1.959963984540054 * error[-1]
        np.testing.assert_allclose(numbers.intervals[name], expected, rtol=0, atol=1e-9)
    assert numbers.why == {}


def test_the_slope_is_statsmodels_logit():
    occurred, odds = draw()
    theirs = Logit(occurred, np.stack([np.ones(300), odds], axis=1)).fit(disp=0, tol=1e-12)
    found = recalibrate(occurred, odds, np.arange(300))
    assert found.values["slope"] == pytest.approx(theirs.params[1], abs=1e-9)


def test_the_odds_are_exact_where_one_minus_a_probability_is_not():
    logits = np.array([[0.0, -60.0, -61.0], [3.0, 1.0, 2.0]])
    shares = special.log_softmax(logits, axis=1)
    rest = [np.logaddexp(-60, -61), np.logaddexp(1, 2)]
    np.testing.assert_allclose(log_odds(shares, 0), [0 - rest[0], 3 - rest[1]], rtol=1e-12)


UNDEFINED = {
    "one kind": ([True] * 4, [1.0, 2.0, 3.0, 4.0], "another", "another"),
    "separated": ([True, True, False, False], [2.0, 1.0, 0.5, -1.0], "separate", None),
    "separated the wrong way": ([True, True, False, False], [-2.0, -1.0, 0.5, 1.0], "sep", None),
    "all the same": ([True, False, True, False], [0.5] * 4, "probabilities that differ", None),
    "certain and right": ([True, False, False], [87.0, -87.0, -87.0], "separate", "almost 0"),
    "certain and wrong": ([True, False, False], [-87.0, 87.0, -87.0], "separate", "almost 0"),
}


@pytest.mark.parametrize("case", UNDEFINED)
@pytest.mark.filterwarnings("error")
def test_what_is_undefined_says_why(case):
    occurred, odds, slope, intercept = UNDEFINED[case]
    numbers = recalibrate(np.array(occurred), np.array(odds), np.arange(len(odds)))
    for name, why in (("slope", slope), ("intercept", intercept)):
        if why is None:
            assert np.isfinite(numbers.values[name])
        else:
            assert numbers.values[name] is None and numbers.intervals[name] is None
            assert why in numbers.why[name]


def test_one_patient_is_too_few():
    numbers = recalibrate(*draw(), np.zeros(300, int))
    assert numbers.values == {"slope": None, "intercept": None}
    assert "independent" in numbers.why["slope"]


def test_the_intercept_is_found_where_probabilities_are_almost_0_and_1():
    """Newton's steps from where statsmodels starts by itself run away here."""
    generator = np.random.default_rng(0)
    odds = np.concatenate([generator.normal(-3, 4, 400), [-80.0, -60.0, 70.0]])
    occurred = generator.random(len(odds)) < special.expit(odds)
    occurred[-3:] = [True, False, True]
    found = recalibrate(occurred, odds, np.arange(len(odds)))
    intercept = found.values["intercept"]
    assert special.expit(odds + intercept).sum() == pytest.approx(occurred.sum(), rel=1e-9)
