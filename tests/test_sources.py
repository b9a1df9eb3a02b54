import numpy as np
import pytest
from sklearn import metrics

from tests.support.simulated import CLASSES, simulate
from trainer.evaluation.json_content import json_content
from trainer.evaluation.resampling import Resampling
from trainer.evaluation.sources import (
    evaluate_by_source,
    evaluate_pairs_within_sources,
    evaluate_source_alone,
)
from trainer.evaluation.tasks import Multiclass


@pytest.fixture
def evaluated():
    """Sources as in the database: one holds two classes, one two others, one a single class."""
    labels, probabilities = simulate()
    half = np.random.default_rng(5).random(len(labels)) < 0.5
    sources = np.select(
        [labels == 0, labels == 1, labels == 3, half],
        ["bimcv", "rsna", "kermany", "rsna"],
        "kermany",
    )
    return sources, Multiclass(labels, probabilities), CLASSES, Resampling(labels, None, 200, 0)


def test_each_source_is_evaluated_by_its_examples_alone(evaluated):
    sources, task, *_ = evaluated
    labels, probabilities = task.labels, task.probabilities
    found = json_content(evaluate_by_source(*evaluated))
    assert list(found) == ["bimcv", "kermany", "rsna"]
    assert sum(numbers["examples"] for numbers in found.values()) == 300
    rows = sources == "rsna"
    predicted = probabilities.argmax(axis=1)
    assert found["rsna"]["accuracy"] == pytest.approx(
        metrics.accuracy_score(labels[rows], predicted[rows])
    )
    assert found["rsna"]["mcc"] == pytest.approx(
        metrics.matthews_corrcoef(labels[rows], predicted[rows])
    )
    low, high = found["rsna"]["intervals"]["accuracy"]
    assert low < found["rsna"]["accuracy"] < high


def test_a_source_of_one_class_has_no_area_and_says_why(evaluated):
    covid = json_content(evaluate_by_source(*evaluated))["bimcv"]["per_class"]["COVID"]
    assert covid["auroc"] is None
    assert covid["why"]["auroc"] == "needs examples of this class and of another"


def test_two_classes_are_told_apart_inside_their_source(evaluated):
    sources, task, *_ = evaluated
    labels, probabilities = task.labels, task.probabilities
    pairs = json_content(evaluate_pairs_within_sources(*evaluated))
    assert [(pair["source"], pair["classes"]) for pair in pairs] == [
        ("kermany", ["Normal", "Viral Pneumonia"]),
        ("rsna", ["Lung_Opacity", "Normal"]),
    ]
    rows = sources == "rsna"
    opacity = probabilities[rows, 1] > probabilities[rows, 2]
    assert pairs[1]["examples"] == rows.sum()
    assert pairs[1]["accuracy"] == pytest.approx(np.mean(opacity == (labels[rows] == 1)))
    ratio = probabilities[rows, 1] / (probabilities[rows, 1] + probabilities[rows, 2])
    assert pairs[1]["per_class"]["Lung_Opacity"]["auroc"] == pytest.approx(
        metrics.roc_auc_score(labels[rows] == 1, ratio)
    )


def test_a_pair_that_was_given_no_probability_is_evaluated_too():
    certain = np.tile([1.0, 0.0, 0.0, 0.0], (4, 1))
    labels = np.array([1, 1, 2, 2])
    resampling = Resampling(labels, None, 100, 0)
    task = Multiclass(labels, certain)
    (pair,) = evaluate_pairs_within_sources(np.full(4, "rsna"), task, CLASSES, resampling)
    assert pair.statistics.per_class["Normal"].values["auroc"] == 0.5


def test_the_source_alone_answers_its_most_frequent_class():
    train = np.array(["rsna"] * 3 + ["bimcv", "kermany", "kermany"])
    train_labels = np.array([2, 2, 1, 0, 3, 2])
    sources = np.array(["rsna", "rsna", "bimcv", "kermany", "eurorad"])
    labels = np.array([2, 1, 0, 3, 0])
    found = evaluate_source_alone(train, train_labels, sources, labels, CLASSES)
    # kermany holds two classes as often: the first is answered. Nobody trained on eurorad.
    assert found.says == {"bimcv": "COVID", "kermany": "Normal", "rsna": "Normal"}
    assert found.accuracy == pytest.approx(2 / 5)
    assert found.balanced_accuracy == pytest.approx((1 / 2 + 0 + 1 + 0) / 4)


def test_the_source_alone_scores_what_the_audit_says(dataset, data_dir):
    """The audit of the built dataset counts in another table, by other means."""
    from cxr_command import split_table
    from cxr_tfds import confounding, dataset_flags
    from trainer.data.examples import labels_and_sources, load_split

    built = dataset_flags.find_folder(data_dir, "224x224")
    theirs = confounding.evaluate_source_alone(split_table.read(built))
    train_labels, train_sources = labels_and_sources(dataset, "train")
    examples = load_split(dataset, "test")
    ours = evaluate_source_alone(
        train_sources, train_labels, examples.sources, examples.labels, dataset.class_names
    )
    assert ours.says == theirs.says
    assert ours.accuracy == pytest.approx(theirs.accuracy)
    assert ours.balanced_accuracy == pytest.approx(theirs.balanced_accuracy)
