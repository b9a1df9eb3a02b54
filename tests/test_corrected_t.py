"""The corrected resampled t interval beside scipy, and its coverage for real learners."""

import numpy as np
import pytest
from scipy import stats

from trainer.evaluation.study.corrected_t import corrected_resampled_t

_FOLDS, _SEEDS, _EXAMPLES, _INPUTS, _FEATURES = 5, 3, 150, 5, 30


def test_of_independent_values_it_is_students_t():
    values = np.random.default_rng(0).normal(0.9, 0.02, 12)
    found, test = corrected_resampled_t(values, 0.0), stats.ttest_1samp(values, 0)
    expected = test.confidence_interval(0.95)
    assert found.interval == pytest.approx((expected.low, expected.high), abs=1e-12)
    assert found.p_value == pytest.approx(test.pvalue, rel=1e-9)
    assert (found.mean, found.sd) == pytest.approx((values.mean(), values.std(ddof=1)), abs=1e-12)


def test_the_correction_widens_the_variance_by_the_ratio_of_tested_to_trained():
    values = np.random.default_rng(1).normal(0.01, 0.02, 15)
    found = corrected_resampled_t(values, 1 / 4)
    # Nadeau and Bengio (2003), equation 9, from its parts.
    statistic = values.mean() / np.sqrt((1 / 15 + 1 / 4) * np.var(values) * 15 / 14)
    half = stats.t.ppf(0.975, 14) * values.mean() / statistic
    assert found.p_value == pytest.approx(2 * stats.t.cdf(-abs(statistic), 14), rel=1e-9)
    assert found.interval == pytest.approx((values.mean() - half, values.mean() + half), abs=1e-12)


@pytest.mark.parametrize("values", [[0.5], [0.5, 0.5, 0.5]])
def test_of_one_run_or_of_equal_ones_it_says_why_there_is_no_interval(values):
    found = corrected_resampled_t(values, 0.25)
    assert found.mean == 0.5 and found.interval is None and found.p_value is None and found.why


def _accuracies(simulations, seed):
    """`[simulations, seeds, folds]`: ridge classifiers on random features, cross-validated.

    Each simulation draws a dataset, and the seeds draw the features: the runs share examples and
    training sets as those of a study do.
    """
    generator = np.random.default_rng(seed)
    fold = np.arange(_EXAMPLES) % _FOLDS
    accuracies = np.empty((simulations, _SEEDS, _FOLDS))
    for simulation in range(simulations):
        inputs = generator.normal(size=(_EXAMPLES, _INPUTS))
        noise = generator.normal(size=_EXAMPLES)
        labels = np.sign(inputs.sum(axis=1) / np.sqrt(_INPUTS) + noise / 2)
        for run in range(_SEEDS):
            weights = generator.normal(size=(_INPUTS, _FEATURES))
            features = np.cos(inputs @ weights * 0.3 + generator.uniform(0, 6, _FEATURES))
            for held_out in range(_FOLDS):
                train = features[fold != held_out]
                ridge = np.linalg.solve(
                    train.T @ train + np.eye(_FEATURES), train.T @ labels[fold != held_out]
                )
                right = np.sign(features[fold == held_out] @ ridge) == labels[fold == held_out]
                accuracies[simulation, run, held_out] = right.mean()
    return accuracies


def _coverage(accuracies, truth, test_to_train):
    intervals = [corrected_resampled_t(runs.ravel(), test_to_train).interval for runs in accuracies]
    return np.mean([low <= truth <= high for low, high in intervals])


def _check_cross_validation(simulations):
    accuracies = _accuracies(simulations, seed=0)
    truth = accuracies.mean()  # Its own error is a thirtieth of an interval's width, or less.
    corrected, plain = (_coverage(accuracies, truth, ratio) for ratio in (1 / (_FOLDS - 1), 0.0))
    print(
        f"\n{simulations} studies of {_SEEDS} seeds x {_FOLDS} folds, nominal 95 %: corrected "
        f"{corrected:.1%}, not corrected {plain:.1%}"
    )
    return corrected, plain


def _check_seeds(simulations):
    """The t interval over the seeds of one dataset, about the mean over all seeds."""
    generator = np.random.default_rng(1)
    covered = []
    for _ in range(simulations):
        inputs = generator.normal(size=(_EXAMPLES, _INPUTS))
        labels = np.sign(inputs.sum(axis=1) / np.sqrt(_INPUTS) + generator.normal(size=150) / 2)
        weights = generator.normal(size=(40, _INPUTS, _FEATURES))
        shifts = generator.uniform(0, 6, (40, 1, _FEATURES))
        features = np.cos(inputs @ weights * 0.3 + shifts)
        train, test = features[:, :120], features[:, 120:]
        gram = train.transpose(0, 2, 1) @ train + np.eye(_FEATURES)
        ridge = np.linalg.solve(gram, train.transpose(0, 2, 1) @ labels[:120, None])
        accuracy = (np.sign(test @ ridge)[..., 0] == labels[120:]).mean(axis=1)
        found = corrected_resampled_t(accuracy[:5], 0.0)
        truth = accuracy[5:].mean()
        if found.interval:
            # The truth is a mean of 35 other seeds: the interval is widened by its error.
            half = (found.interval[1] - found.mean) * np.sqrt(1 + 5 / 35)
            covered.append(abs(found.mean - truth) <= half)
    print(f"\n{len(covered)} studies of 5 seeds, nominal 95 %: {np.mean(covered):.1%}")
    return np.mean(covered)


def test_the_corrected_interval_covers_and_the_plain_one_does_not():
    corrected, plain = _check_cross_validation(300)
    assert corrected > 0.9 and plain < 0.85


@pytest.mark.slow
def test_coverage_of_cross_validation():
    corrected, plain = _check_cross_validation(1000)
    assert 0.935 <= corrected <= 0.99 and plain < 0.8


@pytest.mark.slow
def test_coverage_of_seeds():
    assert 0.925 <= _check_seeds(1000) <= 0.975
