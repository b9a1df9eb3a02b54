import functools

import numpy as np
import pytest
from scipy import special

from tests.support.reports import make_examples, sources_of, write
from tests.support.simulated import CLASSES, simulate
from trainer.evaluation.conformal import (
    conformal_quantile,
    coverage_range,
    evaluate_conformal,
    fit_quantiles,
    members,
)
from trainer.evaluation.json_content import json_content
from trainer.evaluation.resampling import Resampling
from trainer.evaluation.tasks import Multiclass

NAMES = ("coverage", "mean_size", "single", "empty", "full")


def plain_quantile(scores, groups=None):
    """The definition, added up score by score; infinite where no score is reached."""
    groups = np.arange(len(scores)) if groups is None else groups
    sizes = {group: np.sum(groups == group) for group in groups}
    reached = 0.0
    for row in np.argsort(scores, kind="stable"):
        reached += 1 / sizes[groups[row]]
        if reached >= 0.9 * (len(sizes) + 1) - 1e-9:
            return scores[row]
    return None


def plain_numbers(labels, is_in):
    sizes = is_in.sum(axis=1)
    of_true = [row[label] for row, label in zip(is_in, labels, strict=True)]
    kinds = np.mean(sizes == 1), np.mean(sizes == 0), np.mean(sizes == is_in.shape[1])
    return dict(zip(NAMES, (np.mean(of_true), sizes.mean(), *kinds), strict=True))


@pytest.mark.parametrize("size", [1, 8, 9, 10, 18, 19, 20, 99, 100, 999, 1000])
def test_the_quantile_is_the_ceil_of_nine_tenths_of_n_plus_one(size):
    scores = np.random.default_rng(size).random(size)
    rank = -(-9 * (size + 1) // 10)
    expected = np.sort(scores)[rank - 1] if rank <= size else None
    assert conformal_quantile(scores, None) == expected == plain_quantile(scores)


@pytest.mark.parametrize("seed", range(20))
def test_a_group_counts_as_one_example(seed):
    generator = np.random.default_rng(seed)
    groups = np.sort(generator.integers(0, 40, 100)).astype(str)
    scores = generator.random(100).round(2)  # With ties.
    assert conformal_quantile(scores, groups) == plain_quantile(scores, groups)
    for copies in (2, 3, 7):
        same = np.repeat(scores, copies), np.repeat(np.arange(100), copies)
        assert conformal_quantile(*same) == conformal_quantile(scores, None)


def test_the_range_is_what_splits_of_a_size_cover():
    """Of uniform scores a quantile covers itself."""
    drawn = np.random.default_rng(0).random((20_000, 200))
    expected = np.quantile(np.sort(drawn, axis=1)[:, 180], [0.025, 0.975])
    np.testing.assert_allclose(coverage_range(200), expected, atol=0.002)
    assert coverage_range(8) == coverage_range(0) == (1, 1)
    assert coverage_range(9)[1] < 1


def test_too_few_groups_say_nothing():
    """Nine radiographs of three patients are no nine trials."""
    scores = np.linspace(0.1, 0.9, 9)
    assert conformal_quantile(scores, None) == scores[8]
    assert conformal_quantile(scores, np.arange(9) // 3) is None
    assert conformal_quantile(np.array([]), None) is None


def test_ties_are_in_the_set():
    """A saturated network: most scores are exactly 0."""
    scores = np.repeat([0.0, 1.0], [95, 5])
    assert conformal_quantile(scores, None) == 0
    shares = np.array([[1.0, 0, 0, 0], [0.7, 0.3, 0, 0]])
    assert members(shares, [0.0] * 4).tolist() == [[True, False, False, False], [False] * 4]
    assert members(shares, [None] * 4).all()
    assert members(shares, [1.0] * 4).all()


def fitted_and_evaluated(sources=None, groups=None):
    validation, shares = simulate((40, 60, 5, 30), seed=1)
    fitted = fit_quantiles(validation, shares, None, CLASSES)
    labels, probabilities = simulate(seed=2)
    resampling = Resampling(labels, groups, 200, 0)
    task = Multiclass(labels, probabilities)
    found = evaluate_conformal(task, fitted, CLASSES, sources, resampling)
    return fitted, json_content(found), task, (validation, shares)


def test_every_number_is_that_of_plain_numpy():
    sources = np.random.default_rng(0).choice(["bimcv", "rsna"], 300)
    fitted, found, task, (validation, shares) = fitted_and_evaluated(sources)
    scores = 1 - shares[np.arange(len(validation)), validation]
    assert fitted["quantile"] == plain_quantile(scores)
    of_classes = [plain_quantile(scores[validation == index]) for index in range(4)]
    assert fitted["quantiles"] == dict(zip(CLASSES, of_classes, strict=True))
    assert of_classes[2] is None
    limits = {
        "marginal": np.full(4, fitted["quantile"]),
        "class_conditional": np.array([2 if limit is None else limit for limit in of_classes]),
    }
    for kind, limit in limits.items():
        is_in = np.array([[1 - p <= q for p, q in zip(row, limit, strict=True)]
                          for row in task.probabilities])  # fmt: skip
        parts = {"all": (found[kind], np.full(300, True))}
        for index, name in enumerate(CLASSES):
            parts[name] = found[kind]["per_class"][name], task.labels == index
        for name in ("bimcv", "rsna"):
            parts[name] = found[kind]["by_source"][name], sources == name
        for name, (numbers, rows) in parts.items():
            for key, value in plain_numbers(task.labels[rows], is_in[rows]).items():
                assert numbers[key] == pytest.approx(value, abs=1e-9), (kind, name, key)
                if interval := numbers["intervals"][key]:
                    assert interval[0] <= value <= interval[1]
                else:
                    assert numbers["why"][key]
    assert found["class_conditional"]["per_class"]["Normal"]["coverage"] == 1


def test_the_interval_is_that_of_resampled_groups():
    groups = np.arange(300) // 2
    fitted, found, task, _ = fitted_and_evaluated(groups=groups)
    covered = 1 - task.probabilities[np.arange(300), task.labels] <= fitted["quantile"]
    generator, drawn = np.random.default_rng(5), []
    first = task.labels[::2]
    for _ in range(2000):
        of_class = [np.flatnonzero(first == label) for label in range(4)]
        chosen = np.concatenate([generator.choice(rows, len(rows)) for rows in of_class])
        drawn.append(covered[(2 * chosen[:, None] + np.arange(2)).ravel()].mean())
    expected = np.quantile(drawn, [0.025, 0.975])
    interval = found["marginal"]["intervals"]["coverage"]
    np.testing.assert_allclose(interval, expected, atol=0.015)


def test_the_page_shows_the_numbers_of_the_report(tmp_path):
    labels, shares = simulate((6, 9, 12, 3))
    examples = make_examples(labels, sources=sources_of(labels))
    report = write(tmp_path, examples, train=(labels, sources_of(labels)), model=shares)
    page = (tmp_path / "report.html").read_text()
    section = page[page.index(">Prediction sets</h3>") : page.index(">Selective prediction</h3>")]
    for kind in ("marginal", "class_conditional"):
        sets = report["conformal"][kind]
        for numbers in (sets, *sets["per_class"].values(), *sets["by_source"].values()):
            assert f"<td>{numbers['coverage']:.3f}" in section
            assert f"<td>{numbers['mean_size']:.2f}" in section
    # Excluding a class takes 9 examples.
    assert "every set contains COVID, Viral Pneumonia" in section


SHARES = np.array([0.2, 0.3, 0.4, 0.1])


@functools.cache
def large_draw():
    """Sorted scores of each class."""
    labels, shares = simulate((50_000,) * 4, seed=1)
    return [np.sort(1 - shares[labels == index, index]) for index in range(4)]


def true_coverage(limits):
    """What sets of these limits cover of each class; a limit that is None is infinite."""
    limits = [2 if limit is None else limit for limit in limits]
    pairs = zip(large_draw(), limits, strict=True)
    return (
        np.array([np.searchsorted(scores, limit, side="right") for scores, limit in pairs]) / 50_000
    )


def coverages_of_splits(trials, size=200):
    """The true coverage of the sets that each of many validation splits gives."""
    marginal, of_classes = [], []
    for trial in range(trials):
        counts = np.random.default_rng(trial).multinomial(size, SHARES)
        fitted = fit_quantiles(*simulate(counts, seed=1000 + trial), None, CLASSES)
        marginal.append(SHARES @ true_coverage([fitted["quantile"]] * 4))
        of_classes.append(true_coverage(fitted["quantiles"].values()))
    return np.array(marginal), np.array(of_classes)


def test_the_promised_coverage_holds_on_average():
    """At least 90 %, and not 1 / (n + 1) more."""
    marginal, of_classes = coverages_of_splits(400)
    assert 0.895 < marginal.mean() < 0.9 + 1 / 201 + 0.005
    for mean, size in zip(of_classes.mean(axis=0), SHARES * 200, strict=True):
        assert 0.89 < mean < 0.9 + 2 / size + 0.01


@pytest.mark.slow
def test_drill_of_coverage():
    marginal, of_classes = coverages_of_splits(1000)
    print("\nnominal 90 %, 1000 validation splits of 200")
    low, high = coverage_range(200)
    outside = np.mean((marginal < low) | (marginal > high))
    print(f"marginal: {marginal.mean():.2%}; outside of the range of 95 % of splits: {outside:.1%}")
    assert abs(marginal.mean() - 0.9 - 0.5 / 201) < 0.005
    assert abs(outside - 0.05) < 0.02
    for name, mean, share in zip(CLASSES, of_classes.mean(axis=0), SHARES, strict=True):
        print(f"class-conditional, {name}: {mean:.2%}")
        assert 0.895 < mean < 0.9 + 1.5 / (200 * share) + 0.005


@pytest.mark.slow
def test_drill_of_patients():
    """Hard patients have five radiographs, the others one; a radiograph of a new patient."""
    found = {"in groups": [], "each by itself": []}
    for trial in range(1000):
        generator = np.random.default_rng(trial)
        is_hard = generator.random(1200) < 0.3
        # Of a patient all radiographs are alike: most of the noise is the patient's.
        patient = generator.normal(np.where(is_hard, 0, 2), 1)
        scores = special.expit(generator.normal(0, 0.3, (5, 1200)) - patient)
        counted = np.where(np.arange(5)[:, None] == 0, True, is_hard)[:, :200]
        seen, groups = scores[:, :200][counted], np.nonzero(counted)[1]
        for name, of in (("in groups", groups), ("each by itself", None)):
            found[name].append(np.mean(scores[0, 200:] <= conformal_quantile(seen, of)))
    print("\nnominal 90 %, 1000 validation splits of 200 patients")
    for name, values in found.items():
        print(f"{name}: {np.mean(values):.2%}")
    assert abs(np.mean(found["in groups"]) - 0.9 - 0.5 / 201) < 0.005
    assert abs(np.mean(found["each by itself"]) - 0.9) > 0.02


@pytest.mark.slow
@pytest.mark.parametrize("copies", [1, 3])
def test_drill_of_the_interval_of_coverage(copies):
    """The quantiles are given; the truth is what their sets cover in a very large draw."""
    counts, trials = np.array((60, 90, 120, 30)), 1000
    fitted = fit_quantiles(*simulate(counts, seed=7), None, CLASSES)
    limits = {
        "marginal": [fitted["quantile"]] * 4,
        "class_conditional": fitted["quantiles"].values(),
    }
    inside = {}
    for trial in range(trials):
        labels, shares = simulate(counts, seed=100 + trial)
        rows = np.repeat(np.arange(len(labels)), copies)
        task, resampling = (
            Multiclass(labels[rows], shares[rows]),
            Resampling(labels[rows], rows, 500, 0),
        )
        found = json_content(evaluate_conformal(task, fitted, CLASSES, None, resampling))
        for kind, limit in limits.items():
            truth = true_coverage(limit)
            parts = {"all": (found[kind], truth @ counts / counts.sum())}
            for name, true in zip(CLASSES, truth, strict=True):
                parts[name] = found[kind]["per_class"][name], true
            for name, (numbers, true) in parts.items():
                low, high = numbers["intervals"]["coverage"]
                inside.setdefault((kind, name), []).append(low <= true <= high)
    print(f"\n{trials} simulations, nominal 95 %, each radiograph {copies} times")
    for (kind, name), hits in inside.items():
        print(f"interval of the {kind} coverage, {name}: covered in {np.mean(hits):.1%}")
    assert all(np.mean(hits) > 0.93 for (_, name), hits in inside.items() if name == "all")


@pytest.mark.slow
@pytest.mark.parametrize("size", [200, 2000])
def test_drill_of_the_best_epoch(size):
    """The quantile is chosen on the split that the best of 20 epochs was chosen on."""
    found = {"the best epoch": [], "a fixed epoch": []}
    for trial in range(1000):
        generator = np.random.default_rng(trial)
        labels = generator.choice(4, 2 * size, p=SHARES)
        common = generator.normal(size=(2 * size, 4)) + 1.5 * np.eye(4)[labels]
        epochs = common + generator.normal(0, 0.7, (20, *common.shape))
        of_true = special.softmax(epochs, axis=2)[:, np.arange(2 * size), labels]
        best = np.log(of_true[:, :size]).mean(axis=1).argmax()
        for name, epoch in (("the best epoch", best), ("a fixed epoch", 0)):
            scores = 1 - of_true[epoch]
            found[name].append(np.mean(scores[size:] <= conformal_quantile(scores[:size], None)))
    print(f"\nnominal 90 %, 1000 validation splits of {size}")
    for name, values in found.items():
        print(f"{name}: {np.mean(values):.2%}")
    assert abs(np.mean(found["a fixed epoch"]) - 0.9) < 0.005
    assert 0.87 < np.mean(found["the best epoch"]) < 0.9
