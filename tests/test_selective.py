import numpy as np
import pytest

from tests.support.simulated import one_hot, simulate
from trainer.evaluation.json_content import json_content
from trainer.evaluation.resampling import Resampling
from trainer.evaluation.selective import (
    accuracy_when_answering,
    evaluate_selective,
    risk_coverage_area,
)
from trainer.evaluation.tasks import Multiclass

NAMES = ("aurc", "e_aurc", "accuracy_at_50", "accuracy_at_80", "accuracy_at_90")


def evaluated(labels, probabilities, groups=None, count=300):
    resampling = Resampling(labels, groups, count, 0)
    return json_content(evaluate_selective(Multiclass(labels, probabilities), resampling))


def plain_errors(confidence, wrong):
    """Mistakes among the k surest, for every k; of a tie, what any order holds on average."""
    even = np.array([wrong[confidence == value].mean() for value in confidence])
    return np.cumsum(even[np.argsort(-confidence, kind="stable")])


def plain_area(confidence, wrong):
    return np.mean(plain_errors(confidence, wrong) / np.arange(1, len(wrong) + 1))


def tied(seed, size=101):
    generator = np.random.default_rng(seed)
    return generator.random(size).round(1), generator.random(size) < 0.3


@pytest.mark.parametrize("seed", range(5))
def test_the_area_is_the_mean_error_over_all_shares(seed):
    confidence, wrong = tied(seed)
    weights = np.random.default_rng(seed).integers(0, 4, (6, len(wrong)))
    weights[0] = 1
    found = risk_coverage_area(confidence, wrong, weights)
    expected = [plain_area(np.repeat(confidence, row), np.repeat(wrong, row)) for row in weights]
    np.testing.assert_allclose(found, expected, rtol=0, atol=1e-9)


def test_any_order_of_a_tie_counts_alike():
    confidence, wrong = tied(0, 30)
    generator = np.random.default_rng(1)
    orders = [generator.permutation(30) for _ in range(20_000)]
    errors = [wrong[order][np.argsort(-confidence[order], kind="stable")] for order in orders]
    mean = np.mean(np.cumsum(errors, axis=1) / np.arange(1, 31))
    assert risk_coverage_area(confidence, wrong, np.ones((1, 30))) == pytest.approx(mean, abs=1e-3)


@pytest.mark.parametrize("seed", range(5))
def test_the_accuracy_is_that_of_the_surest(seed):
    confidence, wrong = tied(seed, 100)
    (found,) = accuracy_when_answering(
        confidence, wrong, np.ones((1, 100)), np.arange(1, 101) / 100
    )
    expected = 1 - plain_errors(confidence, wrong) / np.arange(1, 101)
    np.testing.assert_allclose(found, expected, rtol=0, atol=1e-9)


def test_the_report_has_the_numbers_of_plain_numpy():
    labels, shares = simulate()
    found = evaluated(labels, shares)
    confidence, wrong = shares.max(axis=1), shares.argmax(axis=1) != labels
    area, least = plain_area(confidence, wrong), plain_area(-wrong.astype(float), wrong)
    assert found["aurc"] == pytest.approx(area, abs=1e-9)
    assert found["e_aurc"] == pytest.approx(area - least, abs=1e-9)
    surest = np.argsort(-confidence)
    for percent in (50, 80, 90):
        right = ~wrong[surest[: 3 * percent]]
        assert found[f"accuracy_at_{percent}"] == pytest.approx(right.mean(), abs=1e-9)
        low, high = found["intervals"][f"accuracy_at_{percent}"]
        assert low < right.mean() < high
        assert found["curve"]["low"][percent - 1] == low
        assert found["curve"]["high"][percent - 1] == high
    assert found["curve"]["accuracy"][-1] == pytest.approx(np.mean(~wrong), abs=1e-9)


def test_copies_widen_the_interval():
    labels, shares = simulate()
    rows = np.repeat(np.arange(300), 4)
    once = evaluated(labels, shares, count=1000)
    grouped = evaluated(labels[rows], shares[rows], groups=rows, count=1000)
    blind = evaluated(labels[rows], shares[rows], count=1000)
    width = [np.ptp(found["intervals"]["aurc"]) for found in (once, grouped, blind)]
    assert width[1] == pytest.approx(width[0], rel=0.15)
    assert width[2] == pytest.approx(width[0] / 2, rel=0.15)


def test_all_right_and_all_wrong():
    labels = np.repeat(np.arange(4), 10)
    right = evaluated(labels, one_hot(labels) * 0.6 + 0.1)
    assert (right["aurc"], right["e_aurc"], right["accuracy_at_80"]) == (0, 0, 1)
    assert right["intervals"]["aurc"] is None and "all resamples agree" in right["why"]["aurc"]
    assert "exact binomial" in right["why"]["accuracy_at_80"]
    wrong = evaluated(labels, one_hot((labels + 1) % 4))
    assert wrong["aurc"] == pytest.approx(1, abs=1e-9)
    assert (wrong["e_aurc"], wrong["accuracy_at_50"]) == (0, 0)


def test_a_model_that_knows_its_mistakes_has_no_excess():
    labels = np.repeat(np.arange(4), 10)
    is_wrong = np.arange(40) % 5 == 0
    shares = one_hot(np.where(is_wrong, (labels + 1) % 4, labels))
    shares = np.where(is_wrong[:, None], shares * 0.2 + 0.2, shares)
    found = evaluated(labels, shares)
    assert found["e_aurc"] == pytest.approx(0, abs=1e-9)
    assert found["accuracy_at_80"] == 1 > found["accuracy_at_90"]


def covered(trials, count, size=1):
    """How often the interval of each number holds that of a very large draw."""
    counts = np.array((60, 90, 120, 30))
    truth = evaluated(*simulate(1000 * counts, seed=1), count=1)
    inside = dict.fromkeys(NAMES, 0)
    for trial in range(trials):
        labels, shares = simulate(counts * size, seed=100 + trial)
        found = evaluated(labels, shares, count=count)
        for name in NAMES:
            low, high = found["intervals"][name]
            inside[name] += low <= truth[name] <= high
    return {name: hits / trials for name, hits in inside.items()}


def test_the_intervals_cover_the_truth():
    assert all(0.84 <= share for share in covered(100, 200).values())


@pytest.mark.slow
def test_drill_of_the_intervals():
    found = covered(1000, 500)
    print("\n1000 simulations, nominal 95 %")
    for name, share in found.items():
        print(f"{name}: covered in {share:.1%}")
    assert all(0.92 <= share <= 0.98 for share in found.values())
