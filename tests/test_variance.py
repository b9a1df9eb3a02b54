"""The parts of the runs' variance, beside statsmodels, and on runs whose parts are known."""

import numpy as np
import pandas
import pytest
from scipy import stats
from statsmodels.formula.api import ols
from statsmodels.stats.anova import anova_lm

from trainer.evaluation.study.variance import decompose, sampling_covariance


def simulate(generator, seeds=4, folds=5, examples=200, group_size=1):
    """Answers `[seeds, folds, examples]`; all parts of the variance of the accuracy are known.

    A normal variable for each example, which all seeds share in part, falls below a limit with the
    probability that seed, fold and their pair ask for.
    """
    chance = (
        0.8
        + PARTS["seed"] ** 0.5 * generator.normal(size=(seeds, 1))
        + PARTS["split"] ** 0.5 * generator.normal(size=(1, folds))
        + PARTS["seed_in_fold"] ** 0.5 * generator.normal(size=(seeds, folds))
    )
    groups = examples // group_size
    shared = generator.normal(size=(1, folds, groups)) * SHARED**0.5
    own = generator.normal(size=(seeds, folds, groups)) * (1 - SHARED) ** 0.5
    right = shared + own < stats.norm.ppf(chance)[:, :, None]
    return right.repeat(group_size, axis=2)


PARTS = {"seed": 0.0004, "seed_in_fold": 0.0002, "split": 0.0006}
SHARED = 0.6


def decomposed(right):
    labels = np.zeros(right.shape[2], int)
    sampling = [sampling_covariance(right[:, fold], labels, None) for fold in range(right.shape[1])]
    return decompose(right.mean(axis=2), np.array(sampling))


def test_the_parts_are_those_of_the_analysis_of_variance():
    right = simulate(np.random.default_rng(0), examples=50)
    accuracy = right.mean(axis=2)
    seed, fold = np.indices(accuracy.shape)
    table = pandas.DataFrame({"y": accuracy.ravel(), "s": seed.ravel(), "f": fold.ravel()})
    squares = anova_lm(ols("y ~ C(s) + C(f)", table).fit())["mean_sq"]
    covariances = [np.cov(right[:, fold]) / right.shape[2] for fold in range(right.shape[1])]
    sampling = np.mean(covariances, axis=0)
    own, shared = sampling.diagonal().mean(), sampling[np.triu_indices(4, 1)].mean()
    expected = {
        "seed": (squares["C(s)"] - squares["Residual"]) / 5,
        "seed_in_fold": squares["Residual"] - (own - shared),
        "split": (squares["C(f)"] - squares["Residual"]) / 4 - shared,
        "test_sample": own,
    }
    found = decomposed(right)
    assert {name: part.estimate for name, part in found.components.items()} == pytest.approx(
        expected, rel=1e-9, abs=1e-15
    )
    assert found.covariance == pytest.approx(shared, rel=1e-9)
    shown = np.maximum(list(expected.values()), 0)
    assert [part.variance for part in found.components.values()] == pytest.approx(shown, rel=1e-9)
    shares = [part.share for part in found.components.values()]
    assert shares == pytest.approx(shown / shown.sum(), rel=1e-9)


def test_one_seed_or_one_fold_leaves_out_what_it_cannot_tell():
    right = simulate(np.random.default_rng(1))
    over_folds, over_seeds = decomposed(right[:1]), decomposed(right[:, :1])
    assert list(over_folds.components) == ["split", "test_sample"]
    assert list(over_seeds.components) == ["seed", "test_sample"]
    one_seed, one_fold = right[0].mean(axis=1), right[:, 0].mean(axis=1)
    sample = np.var(right[0], axis=1, ddof=1).mean() / 200
    assert over_folds.components["split"].estimate == pytest.approx(
        np.var(one_seed, ddof=1) - sample, rel=1e-9
    )
    pairs = np.cov(right[:, 0]) / 200
    unshared = pairs.diagonal().mean() - pairs[np.triu_indices(4, 1)].mean()
    assert over_seeds.components["seed"].estimate == pytest.approx(
        np.var(one_fold, ddof=1) - unshared, rel=1e-9
    )


def test_examples_of_one_patient_count_as_one_draw():
    right = simulate(np.random.default_rng(2), group_size=4)[:, 0]
    groups, labels = np.arange(50).repeat(4), np.zeros(200, int)
    expected = np.cov(right[:, ::4]) / 50
    np.testing.assert_allclose(sampling_covariance(right, labels, groups), expected, rtol=1e-9)
    shuffled = np.random.default_rng(0).permutation(200)
    again = sampling_covariance(right[:, shuffled], labels, groups[shuffled])
    np.testing.assert_allclose(again, expected, rtol=1e-9)


def test_each_class_is_a_sample_of_its_own():
    generator = np.random.default_rng(4)
    labels = generator.permutation(np.repeat([0, 1, 2], [60, 39, 1]))
    right = generator.random((3, 100)) < np.array([0.9, 0.5, 0.7])[labels]
    # Of the single example of the last class, nothing is known of the spread.
    expected = (
        sum((labels == label).sum() * np.cov(right[:, labels == label]) for label in (0, 1))
        / 100**2
    )
    np.testing.assert_allclose(sampling_covariance(right, labels, None), expected, rtol=1e-9)


def test_a_part_below_0_is_shown_as_0():
    right = np.zeros((2, 2, 100), bool)
    right[:, :, :50] = True  # All runs agree: the test sample explains more than there is.
    found = decomposed(right)
    assert found.components["split"].estimate < 0
    assert found.components["split"].variance == 0
    assert found.share("test_sample") == 1 and found.share("seed", "seed_in_fold") == 0


def _recovered(simulations):
    generator = np.random.default_rng(3)
    found = [decomposed(simulate(generator)) for _ in range(simulations)]
    drawn = {
        name: np.array([parts.components[name].estimate for parts in found])
        for name in (*PARTS, "test_sample")
    }
    # Over the chances that seeds and folds ask for, by a large sample of them.
    chance = 0.8 + sum(PARTS.values()) ** 0.5 * generator.normal(size=10**6)
    truth = PARTS | {"test_sample": np.mean(chance * (1 - chance)) / 200}
    print(f"\n{simulations} studies of 4 seeds x 5 folds:")
    for name, values in drawn.items():
        error = values.std(ddof=1) / np.sqrt(simulations)
        print(f"  {name}: true {truth[name]:.6f}, mean {values.mean():.6f} +- {error:.6f}")
    return drawn, truth


@pytest.mark.parametrize(
    "simulations", [100, pytest.param(1000, marks=pytest.mark.slow)], ids=["few", "1000"]
)
def test_known_parts_are_recovered(simulations):
    drawn, truth = _recovered(simulations)
    for name, values in drawn.items():
        error = values.std(ddof=1) / np.sqrt(simulations)
        assert abs(values.mean() - truth[name]) < 4 * error + 0.01 * truth[name]
