import numpy as np
import pytest
from sklearn import metrics

from tests.support.simulated import CLASSES, simulate
from trainer.evaluation.operating_point import (
    choose_threshold,
    evaluate_thresholds,
    roc_and_precision_recall,
)
from trainer.evaluation.resampling import Resampling
from trainer.evaluation.tasks import Multiclass


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


def test_every_class_is_counted_by_hand():
    labels, probabilities = simulate()
    thresholds = {"COVID": 0.3, "Lung_Opacity": None, "Normal": 0.5, "Viral Pneumonia": 0.2}
    resampling = Resampling(labels, None, 400, 0)
    points = evaluate_thresholds(Multiclass(labels, probabilities), CLASSES, thresholds, resampling)
    assert list(points) == ["COVID", "Normal", "Viral Pneumonia"]
    for name, point in points.items():
        index = CLASSES.index(name)
        positive, said = labels == index, probabilities[:, index] >= thresholds[name]
        expected = {
            "sensitivity": np.mean(said[positive]),
            "specificity": np.mean(~said[~positive]),
            "ppv": np.mean(positive[said]),
            "npv": np.mean(~positive[~said]),
        }
        for metric, value in expected.items():
            assert point.values[metric] == pytest.approx(value, abs=1e-12)
            low, high = point.intervals[metric]
            assert low < value < high


def test_a_score_at_the_threshold_is_positive():
    task = Multiclass(np.array([0, 1]), np.array([[0.5, 0.5], [0.4, 0.6]]))
    resampling = Resampling(task.labels, None, 100, 0)
    point = evaluate_thresholds(task, ("a", "b"), {"a": 0.5}, resampling)["a"]
    assert (point.values["sensitivity"], point.values["specificity"]) == (1.0, 1.0)


def test_curves_enclose_the_areas(covid):
    roc, (recall, precision) = roc_and_precision_recall(*covid)
    assert metrics.auc(*roc) == pytest.approx(metrics.roc_auc_score(*covid))
    steps = -np.sum(np.diff(recall) * precision[:-1])
    assert steps == pytest.approx(metrics.average_precision_score(*covid))
    assert roc_and_precision_recall(np.zeros(3, bool), np.zeros(3)) is None
