import numpy as np
import pytest
from sklearn import metrics

from tests.support.simulated import simulate
from trainer.evaluation.decision_curve import decision_curve
from trainer.evaluation.resampling import Resampling


def draw():
    labels, probabilities = simulate()
    # Some scores are thresholds themselves.
    return labels == 0, np.round(probabilities[:, 0], 2)


def benefit(positive, score, threshold):
    """Vickers and Elkin: (true positives - false positives x odds of the threshold) / n."""
    (_, fp), (_, tp) = metrics.confusion_matrix(positive, score >= threshold, labels=[False, True])
    return (tp - fp * threshold / (1 - threshold)) / len(positive)


def test_net_benefit_is_that_of_its_definition():
    positive, score = draw()
    curve = decision_curve(positive, score, Resampling(positive * 1, None, 50, 0))
    expected = [benefit(positive, score, threshold) for threshold in curve.threshold]
    np.testing.assert_allclose(curve.model, expected, atol=1e-12)
    at = curve.threshold.index(0.2)
    assert curve.all[at] == pytest.approx((60 - 240 * 0.25) / 300)
    # Treating all is worth nothing where the threshold is the prevalence.
    assert curve.all[at] == pytest.approx(0)


def test_the_interval_is_that_of_the_examples_drawn():
    positive, score = draw()
    resampling = Resampling(positive * 1, None, 50, 0)
    curve = decision_curve(positive, score, resampling)
    drawn = [np.repeat(np.arange(300), row.astype(int)) for row in [*resampling.weights()][0]]
    for threshold in (0.05, 0.2, 0.6):
        samples = [benefit(positive[rows], score[rows], threshold) for rows in drawn]
        bounds = curve.model_interval[curve.threshold.index(threshold)]
        np.testing.assert_allclose(bounds, np.quantile(samples, [0.025, 0.975]), atol=1e-9)


def test_where_all_resamples_agree_there_is_no_interval():
    positive = np.array([True, False])
    curve = decision_curve(positive, np.array([1.0, 0.0]), Resampling(positive * 1, None, 50, 0))
    assert set(curve.model_interval) == {None}
    assert "resamples agree" in curve.why["model_interval"]
