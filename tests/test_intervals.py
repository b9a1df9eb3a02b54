import re

import numpy as np
import pytest
from scipy import stats

from tests.support.simulated import CLASSES, one_hot, simulate
from trainer.evaluation.json_content import json_content
from trainer.evaluation.metrics import HEADLINE, PER_CLASS
from trainer.evaluation.resampling import Resampling
from trainer.evaluation.statistics import evaluate_classes
from trainer.evaluation.tasks import Multiclass


def evaluated(labels, probabilities, groups=None, count=400):
    resampling = Resampling(labels, groups, count, 0)
    task = Multiclass(labels, probabilities)
    return json_content(evaluate_classes(task, CLASSES, resampling))


def test_every_number_lies_in_its_interval():
    statistics = evaluated(*simulate())
    for name in [metric.name for metric in HEADLINE]:
        low, high = statistics["intervals"][name]
        assert low < statistics[name] < high, name
    for numbers in statistics["per_class"].values():
        for name in [metric.name for metric in PER_CLASS]:
            low, high = numbers["intervals"][name]
            assert low < numbers[name] < high, name


def test_one_class_gives_scipys_bootstrap_of_a_proportion():
    """In one class the accuracy is a mean, which SciPy resamples in a loop of its own."""
    labels = np.zeros(200, int)
    predicted = np.random.default_rng(3).integers(0, 2, 200)
    ours = evaluated(labels, one_hot(predicted), count=4000)["intervals"]["accuracy"]
    theirs = stats.bootstrap(
        ((predicted == 0).astype(float),), np.mean, n_resamples=4000, method="percentile",
        random_state=1,
    ).confidence_interval  # fmt: skip
    np.testing.assert_allclose(ours, theirs, atol=0.01)


def test_where_all_is_right_the_exact_binomial_interval_stands_in():
    labels = np.repeat(np.arange(4), 10)
    statistics = evaluated(labels, one_hot(labels))
    expected = stats.binomtest(40, 40).proportion_ci(0.95, method="exact")
    assert statistics["intervals"]["accuracy"] == pytest.approx(list(expected))
    assert "exact binomial" in statistics["why"]["accuracy"]
    covid = statistics["per_class"]["COVID"]
    expected = stats.binomtest(10, 10).proportion_ci(0.95, method="exact")
    assert covid["intervals"]["sensitivity"] == pytest.approx(list(expected))
    expected = stats.binomtest(30, 30).proportion_ci(0.95, method="exact")
    assert covid["intervals"]["specificity"] == pytest.approx(list(expected))
    # An area is no proportion of examples: nothing is claimed.
    assert covid["intervals"]["auroc"] is None
    assert "all resamples agree" in covid["why"]["auroc"]


def test_copies_widen_the_interval():
    """Each radiograph four times says no more than once."""
    labels, probabilities = simulate()
    copies = np.repeat(np.arange(300), 4)
    once = evaluated(labels, probabilities, count=2000)
    grouped = evaluated(labels[copies], probabilities[copies], groups=copies, count=2000)
    blind = evaluated(labels[copies], probabilities[copies], count=2000)
    width = {
        name: np.ptp(statistics["intervals"]["accuracy"])
        for name, statistics in {"once": once, "grouped": grouped, "blind": blind}.items()
    }
    assert width["grouped"] == pytest.approx(width["once"], rel=0.1)
    assert width["blind"] == pytest.approx(width["once"] / 2, rel=0.15)


def test_a_number_that_is_missing_in_some_resamples_says_so():
    labels = np.repeat([0, 1], 20)
    predicted = np.zeros(40, int)
    predicted[[0, 20]] = 1
    numbers = evaluated(labels, one_hot(predicted))["per_class"]["Lung_Opacity"]
    # Of two answers one is right; neither is drawn in about one resample of seven.
    assert (numbers["ppv"], numbers["intervals"]["ppv"]) == (0.5, [0.0, 1.0])
    missing, resamples = map(int, re.findall(r"\d+", numbers["why"]["ppv"]))
    assert missing / resamples == pytest.approx(0.95**40, abs=0.05)


def followed(statistics):
    """The numbers whose coverage is looked at."""
    covid = statistics["per_class"]["COVID"]
    headline = ("accuracy", "balanced_accuracy", "macro_f1", "mcc", "log_loss")
    return {name: (statistics[name], statistics["intervals"][name]) for name in headline} | {
        "AUROC of COVID": (covid["auroc"], covid["intervals"]["auroc"])
    }


@pytest.mark.slow
@pytest.mark.parametrize("copies", [1, 3])
def test_the_intervals_cover_the_truth(copies):
    """Simulated predictions, whose true numbers are those of a very large draw."""
    counts, trials = (60, 90, 120, 30), 300
    truth = evaluated(*simulate(tuple(1000 * count for count in counts), seed=1), count=1)
    inside = {name: 0 for name in followed(truth)}
    for trial in range(trials):
        labels, probabilities = simulate(counts, seed=100 + trial)
        rows = np.repeat(np.arange(len(labels)), copies)
        found = followed(evaluated(labels[rows], probabilities[rows], groups=rows, count=500))
        for name, (true, _) in followed(truth).items():
            low, high = found[name][1]
            inside[name] += low <= true <= high
    for name, count in inside.items():
        print(f"{name}, each radiograph {copies} times: covered in {count / trials:.1%}")
    for name, count in inside.items():
        # Three standard errors of 300 trials are 3.8 %.
        assert 0.91 <= count / trials <= 0.99, name
