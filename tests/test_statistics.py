import json
import math
import warnings

import numpy as np
import pytest
from sklearn import metrics

from tests.support.simulated import CLASSES, one_hot, simulate
from trainer.evaluation.json_content import json_content
from trainer.evaluation.metrics import HEADLINE, PER_CLASS
from trainer.evaluation.resampling import Resampling
from trainer.evaluation.statistics import evaluate_classes
from trainer.evaluation.tasks import Multiclass


def evaluate(labels, probabilities):
    """The statistics as report.json has them."""
    task = Multiclass(labels, probabilities)
    return json_content(evaluate_classes(task, CLASSES, Resampling(labels, None, 10, 0)))


def test_the_numbers_are_those_of_counting_by_hand():
    labels, probabilities = simulate()
    predicted = probabilities.argmax(axis=1)

    statistics = evaluate(labels, probabilities)

    assert statistics["examples"] == 300
    assert statistics["accuracy"] == pytest.approx(np.mean(labels == predicted))
    assert list(statistics["per_class"]) == list(CLASSES)
    for index, name in enumerate(CLASSES):
        true, said = labels == index, predicted == index
        hits = np.sum(true & said)
        precision, recall = hits / np.sum(said), hits / np.sum(true)
        numbers = statistics["per_class"][name]
        assert numbers["ppv"] == numbers["precision"] == pytest.approx(precision)
        assert numbers["sensitivity"] == numbers["recall"] == pytest.approx(recall)
        assert numbers["specificity"] == pytest.approx(np.sum(~true & ~said) / np.sum(~true))
        assert numbers["npv"] == pytest.approx(np.sum(~true & ~said) / np.sum(~said))
        assert numbers["f1"] == pytest.approx(2 * precision * recall / (precision + recall))
        assert numbers["support"] == np.sum(true)
        # The chance that a positive is ranked above a negative.
        score = probabilities[:, index]
        above = score[true][:, None] > score[~true][None, :]
        assert numbers["auroc"] == pytest.approx(above.mean())
        for column in range(4):
            count = np.sum(true & (predicted == column))
            assert statistics["confusion_matrix"][index][column] == count


def test_the_headline_is_that_of_its_definitions():
    labels, probabilities = simulate()
    predicted = probabilities.argmax(axis=1)
    statistics = evaluate(labels, probabilities)
    recalls = [np.mean(predicted[labels == index] == index) for index in range(4)]
    f1 = [statistics["per_class"][name]["f1"] for name in CLASSES]
    support = np.bincount(labels)
    agreed = np.mean(labels == predicted)
    by_chance = sum(np.mean(labels == i) * np.mean(predicted == i) for i in range(4))
    correlation = np.cov(one_hot(labels).T, one_hot(predicted).T, bias=True)
    true_said, true, said = correlation[:4, 4:], correlation[:4, :4], correlation[4:, 4:]
    expected = {
        "balanced_accuracy": np.mean(recalls),
        "macro_f1": np.mean(f1),
        "weighted_f1": np.average(f1, weights=support),
        "mcc": np.trace(true_said) / math.sqrt(np.trace(true) * np.trace(said)),
        "cohen_kappa": (agreed - by_chance) / (1 - by_chance),
        "log_loss": -np.mean(np.log(probabilities[np.arange(300), labels])),
        "brier_score": np.mean(np.sum((probabilities - one_hot(labels)) ** 2, axis=1)),
        "one_vs_rest_accuracy": np.mean(
            [np.mean((labels == i) == (predicted == i)) for i in range(4)]
        ),
    }
    for name, value in expected.items():
        assert statistics[name] == pytest.approx(value), name


def test_a_class_that_neither_occurs_nor_is_predicted_has_no_numbers_but_reasons():
    statistics = evaluate(np.array([0, 0, 2]), one_hot([0, 2, 2]))
    absent = statistics["per_class"]["Viral Pneumonia"]
    assert absent["support"] == 0
    assert (absent["specificity"], absent["npv"]) == (1.0, 1.0)
    for name in ("sensitivity", "ppv", "f1", "auroc", "average_precision"):
        assert absent[name] is None
        assert absent["why"][name]
    assert statistics["per_class"]["Normal"]["ppv"] == 0.5
    assert "2 classes that occur" in statistics["why"]["balanced_accuracy"]
    assert np.array(statistics["confusion_matrix"]).shape == (4, 4)


def test_a_class_that_is_predicted_but_does_not_occur_has_ppv_0_and_no_sensitivity():
    statistics = evaluate(np.array([0, 0, 2]), one_hot([0, 1, 2]))
    numbers = statistics["per_class"]["Lung_Opacity"]
    assert (numbers["ppv"], numbers["sensitivity"], numbers["f1"]) == (0.0, None, 0.0)
    # As scikit-learn counts classes where it is told none.
    expected = metrics.f1_score([0, 0, 2], [0, 1, 2], average="macro")
    assert statistics["macro_f1"] == pytest.approx(expected)


def test_a_model_that_always_says_the_same_has_no_ppv_for_the_other_classes():
    labels = np.array([0, 1, 2, 2, 3])
    statistics = evaluate(labels, one_hot([2] * 5))
    assert statistics["accuracy"] == pytest.approx(2 / 5)
    assert statistics["mcc"] == 0.0
    assert "predicts a single class" in statistics["why"]["mcc"]
    for name in ("COVID", "Lung_Opacity", "Viral Pneumonia"):
        numbers = statistics["per_class"][name]
        assert (numbers["ppv"], numbers["sensitivity"], numbers["f1"]) == (None, 0.0, 0.0)
        assert numbers["auroc"] == 0.5
    normal = statistics["per_class"]["Normal"]
    assert (normal["ppv"], normal["sensitivity"]) == (pytest.approx(0.4), 1.0)
    assert normal["npv"] is None


def test_chance_cannot_be_taken_off_where_there_is_nothing_else():
    statistics = evaluate(np.array([1, 1]), one_hot([1, 1]))
    assert statistics["cohen_kappa"] is None
    assert "chance" in statistics["why"]["cohen_kappa"]
    assert statistics["accuracy"] == 1.0


@pytest.mark.parametrize("labels", [[0, 1, 2, 3], [2], [2, 2], [0, 0, 3]])
@pytest.mark.parametrize("predicted", [[0, 1, 2, 3], [2, 2, 2, 2], [3, 0, 1, 2]])
def test_certainty_gives_finite_numbers_or_reasons_and_no_warning(labels, predicted):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        statistics = evaluate(np.array(labels), one_hot(predicted[: len(labels)]))
    assert json.loads(json.dumps(statistics, allow_nan=False)) == statistics
    for metric in HEADLINE:
        assert statistics[metric.name] is not None or statistics["why"][metric.name]
    for numbers in statistics["per_class"].values():
        for metric in PER_CLASS:
            assert numbers[metric.name] is not None or numbers["why"][metric.name]


def test_radiographs_of_one_patient_are_no_independent_trials():
    """All right: the exact interval is that of so many patients, 0.025 ** (1 / patients) to 1."""
    labels, patients = np.repeat([0, 1], 30), np.repeat(np.arange(6), 10)
    task = Multiclass(labels, one_hot(labels))
    for groups, independent in ((None, 60), (patients, 6)):
        statistics = evaluate_classes(task, CLASSES, Resampling(labels, groups, 50, 0))
        low, high = statistics.intervals["accuracy"]
        assert (low, high) == (pytest.approx(0.025 ** (1 / independent)), 1.0)
