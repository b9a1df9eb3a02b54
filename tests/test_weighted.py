import numpy as np
import pytest
from sklearn import metrics

from tests.support.simulated import CLASSES, one_hot, simulate
from trainer.evaluation.statistics import HEADLINE, PER_CLASS, classification_statistics
from trainer.evaluation.weighted import weighted_headline, weighted_per_class


@pytest.fixture
def drawn():
    """Labels, probabilities with many ties, and how often each example was drawn."""
    labels, probabilities = simulate((20, 30, 40, 10))
    probabilities = np.round(probabilities, 1) + 0.01
    probabilities /= probabilities.sum(axis=1, keepdims=True)
    weights = np.random.default_rng(1).multinomial(100, np.full(100, 0.01), size=3).astype(float)
    return labels, probabilities, weights


def test_weights_are_what_repeating_an_example_is(drawn):
    """Each row is compared with scikit-learn's numbers for the examples drawn, repeated."""
    labels, probabilities, weights = drawn
    headline = weighted_headline(labels, probabilities, weights)
    per_class = weighted_per_class(labels, probabilities, weights)
    for row, counts in enumerate(weights.astype(int)):
        repeated = np.repeat(np.arange(100), counts)
        expected = classification_statistics(labels[repeated], probabilities[repeated], CLASSES)
        assert set(headline) == set(HEADLINE)
        for name in HEADLINE:
            assert headline[name][row] == pytest.approx(expected[name]), name
        assert set(per_class) == set(PER_CLASS)
        for index, class_name in enumerate(CLASSES):
            for name in PER_CLASS:
                value = expected["per_class"][class_name][name]
                assert per_class[name][row, index] == pytest.approx(value), name


def test_areas_are_scikit_learns_with_sample_weights(drawn):
    labels, probabilities, weights = drawn
    weights = weights + 0.25
    per_class = weighted_per_class(labels, probabilities, weights)
    for row, index in np.ndindex(3, 4):
        given = (labels == index, probabilities[:, index])
        auroc = metrics.roc_auc_score(*given, sample_weight=weights[row])
        precision = metrics.average_precision_score(*given, sample_weight=weights[row])
        assert per_class["auroc"][row, index] == pytest.approx(auroc)
        assert per_class["average_precision"][row, index] == pytest.approx(precision)


def test_what_does_not_exist_is_nan():
    labels, probabilities = np.array([0, 0, 2]), one_hot([0, 0, 0])
    per_class = weighted_per_class(labels, probabilities, np.ones((1, 3)))
    for name in ("sensitivity", "auroc", "average_precision"):
        assert np.isnan(per_class[name][0, 1])
    assert np.isnan(per_class["ppv"][0, 2])
    headline = weighted_headline(labels, probabilities, np.ones((1, 3)))
    assert headline["mcc"][0] == 0.0
    assert headline["balanced_accuracy"][0] == 0.5
