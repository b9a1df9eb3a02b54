import numpy as np
import pytest
from scipy import stats
from sklearn import metrics

from tests.support.simulated import CLASSES, one_hot, simulate
from trainer.evaluation.comparison import compare
from trainer.evaluation.metrics import HEADLINE
from trainer.evaluation.resampling import Resampling
from trainer.evaluation.tasks import Multiclass


def answers(both, only_first, only_second, neither):
    """Whether each of two models was right, for given counts."""
    first = np.repeat([True, True, False, False], [both, only_first, only_second, neither])
    second = np.repeat([True, False, True, False], [both, only_first, only_second, neither])
    return {"first": first, "second": second}


def compared(right, groups=None, count=1000):
    labels = np.zeros(len(next(iter(right.values()))), int)
    models = {name: Multiclass(labels, one_hot(~hits * 1, 2)) for name, hits in right.items()}
    return compare_all(models, Resampling(labels, groups, count, 0), ("right", "wrong"))


def compare_all(models, resampling, class_names=CLASSES, thresholds=None):
    thresholds = thresholds or dict.fromkeys(models)
    return compare(models, resampling, class_names, 0, thresholds)


def test_mcnemar_is_the_binomial_test_of_the_examples_that_differ():
    (pair,) = compared(answers(60, 25, 10, 5)).pairs
    assert (pair.only_first_right, pair.only_second_right) == (25, 10)
    assert pair.mcnemar_p == pytest.approx(stats.binomtest(10, 35).pvalue)
    assert pair.accuracy_difference == pytest.approx(0.15)


def test_mcnemar_gives_a_published_example():
    """Fagerland, Lydersen and Laake (2013), table 1, airway hyper-responsiveness before and after
    stem cell transplantation: of 21 children 1 changed one way and 7 the other; the exact
    conditional test gives 0.0703."""
    (pair,) = compared(answers(1, 1, 7, 12)).pairs
    assert round(pair.mcnemar_p, 4) == 0.0703


def test_the_interval_of_the_difference_is_that_of_paired_examples():
    right = answers(600, 120, 60, 220)
    (pair,) = compared(right, count=4000).pairs
    theirs = stats.bootstrap(
        (right["first"] * 1.0, right["second"] * 1.0),
        lambda first, second, axis: np.mean(first, axis=axis) - np.mean(second, axis=axis),
        paired=True, vectorized=True, n_resamples=4000, method="percentile", random_state=0,
    ).confidence_interval  # fmt: skip
    np.testing.assert_allclose(pair.interval, theirs, atol=0.003)
    # Normal approximation: 0.06 with a standard error of 0.0133.
    assert pair.bootstrap_p < 0.001


def test_copies_of_an_example_add_no_certainty():
    right = {name: np.repeat(hits, 5) for name, hits in answers(60, 22, 12, 6).items()}
    groups = np.repeat(np.arange(100), 5)
    (blind,) = compared(right).pairs
    (grouped,) = compared(right, groups).pairs
    assert np.ptp(grouped.interval) == pytest.approx(5**0.5 * np.ptp(blind.interval), rel=0.1)


def test_holm_corrects_over_all_pairs():
    """By hand: the smallest p times 3, the next times 2, none below the one before or above 1."""
    generator = np.random.default_rng(0)
    right = {
        name: generator.random(400) < share for name, share in (("a", 0.9), ("b", 0.8), ("c", 0.78))
    }
    pairs = compared(right).pairs
    assert [pair.models for pair in pairs] == [("a", "b"), ("a", "c"), ("b", "c")]
    for test in ("mcnemar_p", "bootstrap_p"):
        ranked = sorted(pairs, key=lambda pair: getattr(pair, test))
        expected, before = [], 0.0
        for rank, pair in enumerate(ranked):
            before = max(before, min(1.0, getattr(pair, test) * (3 - rank)))
            expected.append(before)
        assert [getattr(pair, f"{test}_holm") for pair in ranked] == pytest.approx(expected)


def test_the_best_is_named_only_where_the_interval_supports_it():
    clear = compared(answers(600, 200, 20, 180))
    assert clear.best == "first"
    worse = compared(answers(600, 20, 200, 180))
    assert worse.best == "second"
    unclear = compared(answers(600, 22, 20, 180))
    assert unclear.best is None
    assert "first has the highest accuracy" in unclear.best_why
    assert "do not show that it is better than second" in unclear.best_why


def test_a_difference_that_only_correction_takes_away_names_no_best():
    """Two models are as good as one another; the third is worse than both."""
    generator = np.random.default_rng(1)
    good = generator.random(500) < 0.9
    right = {"a": good, "b": good.copy(), "c": generator.random(500) < 0.6}
    result = compared(right)
    assert result.best is None
    assert "better than b:" in result.best_why


def test_models_that_agree_everywhere_differ_by_nothing():
    (pair,) = compared(answers(3, 0, 0, 1)).pairs
    assert (pair.mcnemar_p, pair.bootstrap_p) == (1.0, 1.0)
    assert pair.interval == (0.0, 0.0)


def test_every_metric_has_the_interval_of_its_paired_difference():
    """Recomputed resample by resample, from the examples that were drawn."""
    labels, first = simulate((20, 30, 40, 10))
    _, second = simulate((20, 30, 40, 10), skill=0.5)
    resampling = Resampling(labels, None, 40, 0)
    models = {"first": Multiclass(labels, first), "second": Multiclass(labels, second)}
    (pair,) = compare_all(models, resampling).pairs
    drawn = [
        np.repeat(np.arange(100), counts.astype(int))
        for weights in resampling.weights()
        for counts in weights
    ]
    for metric in HEADLINE:
        differences = [
            metric.compute(Multiclass(labels[rows], first[rows]))
            - metric.compute(Multiclass(labels[rows], second[rows]))
            for rows in drawn
        ]
        expected = np.quantile(differences, [0.025, 0.975])
        assert pair.differences.intervals[metric.name] == pytest.approx(expected), metric.name
        value = metric.compute(models["first"]) - metric.compute(models["second"])
        assert pair.differences.values[metric.name] == value


def test_the_difference_of_a_metric_that_one_model_has_not_is_left_blank():
    labels = np.array([1, 1])
    models = {"a": Multiclass(labels, one_hot([1, 1])), "b": Multiclass(labels, one_hot([1, 0]))}
    (pair,) = compare_all(models, Resampling(labels, None, 100, 0)).pairs
    assert pair.differences.values["cohen_kappa"] is None
    assert "one of the two models" in pair.differences.why["cohen_kappa"]


def of_classes(seed=0, groups=None, count=200):
    labels, first = simulate((20, 30, 40, 10), seed=seed)
    _, second = simulate((20, 30, 40, 10), seed=seed, skill=0.5)
    models = {"first": Multiclass(labels, first), "second": Multiclass(labels, second)}
    thresholds = {"first": 0.3, "second": 0.2}
    return models, compare_all(models, Resampling(labels, groups, count, 0), CLASSES, thresholds)


def test_the_tested_differences_are_those_of_scikit_learn():
    models, result = of_classes()
    first, second = models.values()

    def minus(number):
        return number(first, 0.3) - number(second, 0.2)

    expected = {
        ("accuracy", "all classes"): minus(lambda m, _: np.mean(m.predicted == m.labels)),
        ("log_loss", "all classes"): minus(
            lambda m, _: metrics.log_loss(m.labels, m.probabilities)
        ),
        ("brier_score", "all classes"): minus(
            lambda m, _: np.sum((m.probabilities - one_hot(m.labels)) ** 2) / 100
        ),
        ("sensitivity", "COVID"): minus(
            lambda m, t: np.mean(m.probabilities[m.labels == 0, 0] >= t)
        ),
        ("specificity", "COVID"): minus(
            lambda m, t: np.mean(m.probabilities[m.labels != 0, 0] < t)
        ),
    } | {
        ("auroc", name): minus(
            lambda m, _, i=index: metrics.roc_auc_score(m.labels == i, m.probabilities[:, i])
        )
        for index, name in enumerate(CLASSES)
    }
    found = {(one.subject.metric, one.subject.about): one for one in result.pairs[0].tests}
    assert set(found) == {*expected, ("debiased_error", "all classes")}
    for key, value in expected.items():
        assert found[key].value == pytest.approx(value, abs=1e-9), key
        low, high = found[key].interval
        assert low < value < high
        assert found[key].method == ("DeLong" if key[0] == "auroc" else "paired bootstrap")
        # The test and the interval agree but for what lies at the very border.
        assert (low > 0 or high < 0) == (found[key].p < 0.05)


def test_where_examples_depend_on_each_other_areas_are_resampled():
    _, result = of_classes(groups=np.arange(100) // 2)
    assert {one.method for one in result.pairs[0].tests} == {"paired bootstrap"}


def test_holm_corrects_over_all_differences_of_all_pairs():
    labels, first = simulate((20, 30, 40, 10))
    others = {f"m{skill}": simulate((20, 30, 40, 10), skill=skill)[1] for skill in (0.5, 1.2)}
    models = {name: Multiclass(labels, p) for name, p in ({"first": first} | others).items()}
    result = compare_all(models, Resampling(labels, None, 200, 0))
    tests = [one for pair in result.pairs for one in pair.tests if one.p is not None]
    # No model has a threshold: two of ten differences are missing in each pair.
    assert len(tests) == 3 * 8
    before = 0.0
    for rank, one in enumerate(sorted(tests, key=lambda one: one.p)):
        before = max(before, min(1.0, one.p * (len(tests) - rank)))
        assert one.p_holm == pytest.approx(before)


def test_differences_that_are_undefined_say_why():
    labels = np.array([1, 1, 1])
    models = {
        "a": Multiclass(labels, one_hot([1, 1, 1])),
        "b": Multiclass(labels, one_hot([1, 0, 0])),
    }
    (pair,) = compare_all(models, Resampling(labels, None, 100, 0)).pairs
    found = {(one.subject.metric, one.subject.about): one for one in pair.tests}
    area, sensitivity = found["auroc", "COVID"], found["sensitivity", "COVID"]
    for one, why in ((area, "needs examples"), (sensitivity, "no threshold")):
        assert (one.value, one.interval, one.p, one.p_holm) == (None,) * 4
        assert all(why in said for said in one.why.values()) and set(one.why) >= {"value", "p_holm"}


def test_a_model_compared_with_itself_differs_by_nothing():
    labels, shares = simulate((20, 30, 40, 10))
    models = {"a": Multiclass(labels, shares), "b": Multiclass(labels, shares.copy())}
    (pair,) = compare_all(
        models, Resampling(labels, None, 100, 0), thresholds={"a": 0.3, "b": 0.3}
    ).pairs
    assert {(one.value, one.p, one.p_holm) for one in pair.tests} == {(0.0, 1.0, 1.0)}
    assert all("interval" in one.why for one in pair.tests)
