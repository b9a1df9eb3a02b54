import numpy as np
import pytest
from scipy import optimize, special
from sklearn import metrics

from tests.support.simulated import CLASSES, one_hot, simulate
from trainer.evaluation.calibration import (
    evaluate_calibration,
    expected_calibration_error,
    reliability,
)
from trainer.evaluation.resampling import Resampling
from trainer.evaluation.tasks import Multiclass
from trainer.evaluation.temperature import apply_temperature, fit_temperature


def evaluated(labels, probabilities, temperature=None, groups=None, count=100):
    task, resampling = Multiclass(labels, probabilities), Resampling(labels, groups, count, 0)
    return evaluate_calibration(task, CLASSES, temperature, resampling)


def test_a_known_temperature_is_found_again():
    """Labels are drawn from the probabilities, which are then made 2.5 times too sure."""
    generator = np.random.default_rng(0)
    logits = generator.normal(0, 2, (20_000, 4))
    labels = np.array([generator.choice(4, p=shares) for shares in special.softmax(logits, axis=1)])
    too_sure = special.softmax(2.5 * logits, axis=1)
    assert fit_temperature(labels, too_sure) == pytest.approx(2.5, rel=0.03)


def test_no_other_temperature_has_a_lower_log_loss():
    labels, probabilities = simulate()
    best = fit_temperature(labels, probabilities)

    def loss(temperature):
        return metrics.log_loss(labels, special.softmax(np.log(probabilities) / temperature, 1))

    theirs = optimize.minimize(lambda x: loss(x[0]), [1.0], method="Nelder-Mead").x[0]
    assert best == pytest.approx(theirs, rel=1e-3)


def test_a_temperature_divides_logits_and_changes_no_answer():
    logits = np.random.default_rng(0).normal(0, 3, (50, 4))
    softened = apply_temperature(special.softmax(logits, axis=1), 3.0)
    np.testing.assert_allclose(softened, special.softmax(logits / 3, axis=1), rtol=1e-9)
    np.testing.assert_array_equal(softened.argmax(axis=1), logits.argmax(axis=1))


def test_probabilities_of_0_and_1_stay_finite():
    certain = one_hot([0, 1, 2, 3])
    assert np.isfinite(apply_temperature(certain, 2.0)).all()
    # All right: the surer the better. All wrong: the less sure the better.
    assert fit_temperature(np.array([0, 1, 2, 3]), certain) < 1
    assert fit_temperature(np.array([1, 2, 3, 0]), certain) > 10


def test_bins_are_counted_by_hand():
    probabilities = np.array([[0.9, 0.1], [0.7, 0.3], [0.3, 0.7], [0.69, 0.31]])
    bins = reliability(np.array([0, 0, 0, 1]), probabilities)
    filled = [bin_ for bin_ in bins if bin_.count]
    assert [bin_.count for bin_ in filled] == [3, 1]
    assert filled[0].confidence == pytest.approx((0.7 + 0.7 + 0.69) / 3)
    assert filled[0].accuracy == pytest.approx(1 / 3)
    assert all(bin_.accuracy is None for bin_ in bins if not bin_.count)
    expected = 3 / 4 * abs((0.7 + 0.7 + 0.69) / 3 - 1 / 3) + 1 / 4 * 0.1
    assert expected_calibration_error(bins) == pytest.approx(expected)


def test_every_example_is_in_one_bin_even_at_the_ends():
    labels, probabilities = simulate()
    assert sum(bin_.count for bin_ in reliability(labels, probabilities)) == 300
    bins = reliability(np.array([0]), np.array([[1.0, 0.0]]))
    assert (bins[-1].count, bins[-1].accuracy) == (1, 1.0)


def test_before_and_after_are_those_of_the_probabilities_before_and_after():
    labels, probabilities = simulate()
    states = evaluated(labels, probabilities, 2.0)
    softened = special.softmax(np.log(probabilities) / 2, axis=1)
    assert states.before.log_loss == pytest.approx(metrics.log_loss(labels, probabilities))
    assert states.after.log_loss == pytest.approx(metrics.log_loss(labels, softened))
    bins = np.minimum((softened.max(axis=1) * 15).astype(int), 14)
    right = softened.argmax(axis=1) == labels
    gaps = [
        np.mean(bins == index)
        * abs(np.mean(right[bins == index]) - np.mean(softened.max(axis=1)[bins == index]))
        for index in np.unique(bins)
    ]
    assert states.after.ece == pytest.approx(sum(gaps))
    assert evaluated(labels, probabilities).after is None
