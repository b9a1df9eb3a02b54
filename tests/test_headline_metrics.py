import numpy as np
import pytest
from sklearn import metrics as theirs

from tests.support.reports import make_examples, write
from tests.support.simulated import CLASSES, one_hot, simulate
from trainer.evaluation import metrics
from trainer.evaluation.metrics import HEADLINE, PER_CLASS, Metric
from trainer.evaluation.tasks import Multiclass


@pytest.fixture
def drawn():
    """Labels, probabilities with many ties, and how often each example was drawn."""
    labels, probabilities = simulate((20, 30, 40, 10))
    probabilities = np.round(probabilities, 1) + 0.01
    probabilities /= probabilities.sum(axis=1, keepdims=True)
    weights = np.random.default_rng(1).multinomial(100, np.full(100, 0.01), size=3).astype(float)
    return labels, probabilities, weights


def resampled(metric, task):
    with np.errstate(divide="ignore", invalid="ignore"):
        return metric.resample(task)


def test_weights_are_what_repeating_an_example_is(drawn):
    """Each resample is compared with scikit-learn's numbers for the examples drawn, repeated."""
    labels, probabilities, weights = drawn
    weighted = Multiclass(labels, probabilities, weights)
    for row, counts in enumerate(weights.astype(int)):
        repeated = np.repeat(np.arange(100), counts)
        expected = Multiclass(labels[repeated], probabilities[repeated])
        for metric in HEADLINE:
            value = resampled(metric, weighted)[row]
            assert value == pytest.approx(metric.compute(expected)), metric.name
        for index in range(len(CLASSES)):
            one, expected_one = (task.one_against_rest(index) for task in (weighted, expected))
            for metric in PER_CLASS:
                value = resampled(metric, one)[row]
                assert value == pytest.approx(metric.compute(expected_one)), metric.name


def test_areas_are_scikit_learns_with_sample_weights(drawn):
    labels, probabilities, weights = drawn
    weights = weights + 0.25
    weighted = Multiclass(labels, probabilities, weights)
    for row, index in np.ndindex(3, 4):
        given = (labels == index, probabilities[:, index])
        auroc = theirs.roc_auc_score(*given, sample_weight=weights[row])
        precision = theirs.average_precision_score(*given, sample_weight=weights[row])
        found = weighted.one_against_rest(index).areas
        assert [area[row] for area in found] == pytest.approx([auroc, precision])


def test_what_does_not_exist_is_nan():
    task = Multiclass(np.array([0, 0, 2]), one_hot([0, 0, 0]), np.ones((1, 3)))
    headline = {metric.name: resampled(metric, task)[0] for metric in HEADLINE}
    assert (headline["mcc"], headline["balanced_accuracy"]) == (0.0, 0.5)
    absent, never_predicted = (
        {metric.name: resampled(metric, task.one_against_rest(index))[0] for metric in PER_CLASS}
        for index in (1, 2)
    )
    for name in ("sensitivity", "auroc", "average_precision"):
        assert np.isnan(absent[name])
    assert np.isnan(never_predicted["ppv"])


TOP_2 = Metric(
    "top_2_accuracy",
    "Top 2 accuracy",
    compute=lambda task: float(top_2(task).mean()),
    resample=lambda task: task.mean(top_2(task)),
    higher_is_better=False,
    digits=5,
)


def top_2(task):
    best = np.argsort(task.probabilities, axis=1)[:, -2:]
    return (best == task.labels[:, None]).any(axis=1).astype(float)


def test_a_metric_is_added_in_one_place(tmp_path, monkeypatch):
    monkeypatch.setattr(metrics, "HEADLINE", (*HEADLINE, TOP_2))
    labels, first = simulate((6, 9, 12, 3))
    _, second = simulate((6, 9, 12, 3), skill=0.2)
    report = write(tmp_path, make_examples(labels), first=first, second=second)
    expected = theirs.top_k_accuracy_score(labels, second, k=2)
    numbers = report["models"]["second"]
    assert numbers["top_2_accuracy"] == pytest.approx(expected)
    low, high = numbers["intervals"]["top_2_accuracy"]
    assert low < expected < high
    shown = (f"{low:.5f} to\N{NO-BREAK SPACE}{high:.5f}", f"{expected:.5f}")

    page = (tmp_path / "report.html").read_text()
    # Once with both models' values, once with their difference.
    assert page.count('<th scope="row">Top 2 accuracy<') == 2
    assert all(number in page for number in shown)
    assert "Lower is better: Log loss, Brier score (0 to 2), Top 2 accuracy." in page

    card = (tmp_path / "second" / "model_card.md").read_text()
    assert f"| Top 2 accuracy | {shown[1]} | {shown[0]} |" in card

    (pair,) = report["comparison"]["pairs"]
    difference = theirs.top_k_accuracy_score(labels, first, k=2) - expected
    assert pair["differences"]["top_2_accuracy"] == pytest.approx(difference)
    low, high = pair["differences"]["intervals"]["top_2_accuracy"]
    assert low <= difference <= high
    assert f"{low:.5f} to\N{NO-BREAK SPACE}{high:.5f}" in page
