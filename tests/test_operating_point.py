import numpy as np
import pytest
from sklearn import metrics

from tests.support.simulated import simulate
from trainer.evaluation.operating_point import (
    choose_threshold,
    decision_curve,
    evaluate_threshold,
    roc_and_precision_recall,
)
from trainer.evaluation.resampling import Resampling


@pytest.fixture
def covid():
    labels, probabilities = simulate()
    return labels == 0, probabilities[:, 0]


def test_the_threshold_is_the_highest_that_finds_95_percent(covid):
    positive, score = covid
    threshold = choose_threshold(positive, score)
    _, found, thresholds = metrics.roc_curve(positive, score, drop_intermediate=False)
    assert threshold == thresholds[np.argmax(found >= 0.95)]


@pytest.mark.parametrize("count", [1, 2, 20, 40, 60, 100])
def test_no_more_positives_are_found_than_needed(count):
    score = np.arange(count) / count
    positive = np.ones(count, bool)
    found = np.mean(score >= choose_threshold(positive, score))
    assert 0.95 <= found < 0.95 + 1 / count + 1e-9


def test_without_positives_there_is_no_threshold():
    assert choose_threshold(np.zeros(3, bool), np.array([0.1, 0.2, 0.3])) is None


def test_the_operating_point_is_counted_by_hand(covid):
    positive, score = covid
    point = evaluate_threshold(positive, score, 0.3, Resampling(positive * 1, None, 400, 0))
    said = score >= 0.3
    expected = {
        "sensitivity": np.mean(said[positive]),
        "specificity": np.mean(~said[~positive]),
        "ppv": np.mean(positive[said]),
        "npv": np.mean(~positive[~said]),
    }
    for name, value in expected.items():
        assert point.values[name] == pytest.approx(value)
        low, high = point.intervals[name]
        assert low < value < high


def test_a_score_at_the_threshold_is_positive():
    positive, score = np.array([True, False]), np.array([0.5, 0.4])
    point = evaluate_threshold(positive, score, 0.5, Resampling(positive * 1, None, 100, 0))
    assert (point.values["sensitivity"], point.values["specificity"]) == (1.0, 1.0)


def test_net_benefit_is_that_of_its_definition(covid):
    """Vickers and Elkin: (true positives - false positives x odds of the threshold) / n."""
    positive, score = covid
    curve = decision_curve(positive, score)
    at = curve.threshold.index(0.2)
    (tn, fp), (fn, tp) = metrics.confusion_matrix(positive, score >= 0.2)
    assert curve.model[at] == pytest.approx((tp - fp * 0.2 / 0.8) / 300)
    assert curve.all[at] == pytest.approx((60 - 240 * 0.25) / 300)
    # Treating all is worth nothing where the threshold is the prevalence.
    assert curve.all[at] == pytest.approx(0)


def test_curves_enclose_the_areas(covid):
    roc, (recall, precision) = roc_and_precision_recall(*covid)
    assert metrics.auc(*roc) == pytest.approx(metrics.roc_auc_score(*covid))
    steps = -np.sum(np.diff(recall) * precision[:-1])
    assert steps == pytest.approx(metrics.average_precision_score(*covid))
    assert roc_and_precision_recall(np.zeros(3, bool), np.zeros(3)) is None
