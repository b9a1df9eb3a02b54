import json

import numpy as np
import pytest

from trainer.evaluation.statistics import classification_statistics

CLASSES = ("COVID", "Lung_Opacity", "Normal", "Viral Pneumonia")


def one_hot(predicted):
    return np.eye(4, dtype=np.float32)[np.asarray(predicted)]


def test_the_numbers_are_those_of_counting_by_hand():
    generator = np.random.default_rng(0)
    labels = generator.integers(0, 4, 300)
    probabilities = generator.dirichlet(np.ones(4), 300) + 0.3 * one_hot(labels)
    predicted = probabilities.argmax(axis=1)

    statistics = classification_statistics(labels, probabilities, CLASSES)

    assert statistics["examples"] == 300
    assert statistics["accuracy"] == pytest.approx(np.mean(labels == predicted))
    assert list(statistics["per_class"]) == list(CLASSES)
    for index, name in enumerate(CLASSES):
        hits = np.sum((labels == index) & (predicted == index))
        precision = hits / np.sum(predicted == index)
        recall = hits / np.sum(labels == index)
        numbers = statistics["per_class"][name]
        assert numbers["precision"] == pytest.approx(precision)
        assert numbers["recall"] == pytest.approx(recall)
        assert numbers["f1"] == pytest.approx(2 * precision * recall / (precision + recall))
        assert numbers["support"] == np.sum(labels == index)
        for column in range(4):
            count = np.sum((labels == index) & (predicted == column))
            assert statistics["confusion_matrix"][index][column] == count


def test_a_class_that_neither_occurs_nor_is_predicted_has_no_ratios():
    statistics = classification_statistics(np.array([0, 0, 2]), one_hot([0, 2, 2]), CLASSES)
    absent = {"precision": None, "recall": None, "f1": None, "support": 0}
    assert statistics["per_class"]["Viral Pneumonia"] == absent
    assert statistics["per_class"]["Normal"]["precision"] == 0.5
    assert np.array(statistics["confusion_matrix"]).shape == (4, 4)


def test_a_class_that_is_predicted_but_does_not_occur_has_precision_0_and_no_recall():
    statistics = classification_statistics(np.array([0, 0, 2]), one_hot([0, 1, 2]), CLASSES)
    numbers = statistics["per_class"]["Lung_Opacity"]
    assert numbers == {"precision": 0.0, "recall": None, "f1": 0.0, "support": 0}


def test_a_model_that_always_says_the_same_has_no_precision_for_the_other_classes():
    labels = np.array([0, 1, 2, 2, 3])
    statistics = classification_statistics(labels, one_hot([2] * 5), CLASSES)
    assert statistics["accuracy"] == pytest.approx(2 / 5)
    for name in ("COVID", "Lung_Opacity", "Viral Pneumonia"):
        numbers = statistics["per_class"][name]
        assert numbers == {"precision": None, "recall": 0.0, "f1": 0.0, "support": 1}
    normal = statistics["per_class"]["Normal"]
    assert (normal["precision"], normal["recall"]) == (pytest.approx(0.4), 1.0)


def test_the_numbers_are_json_without_nan():
    statistics = classification_statistics(np.array([0, 0, 2]), one_hot([2, 2, 2]), CLASSES)
    assert json.loads(json.dumps(statistics, allow_nan=False)) == statistics
