"""How often the intervals of a report cover the truth of simulated predictions.

python -m pytest -s -m slow tests/test_coverage.py
"""

import numpy as np
import pytest
from scipy import optimize, special, stats

from trainer.evaluation.calibration_error import Forecast, calibration_errors
from trainer.evaluation.decision_curve import decision_curve
from trainer.evaluation.delong import compare_areas
from trainer.evaluation.operating_point import evaluate_thresholds
from trainer.evaluation.recalibration import recalibrate
from trainer.evaluation.resampling import Resampling
from trainer.evaluation.tasks import Multiclass

MANY = 1_000_000
POSITIVE = np.repeat([True, False], [80, 240])
SLOPE, SHIFT = 0.7, 0.4


def resampling_of(labels, generator, groups=None):
    return Resampling(labels * 1, groups, 300, int(generator.integers(1 << 30)))


def auroc_difference(generator):
    shared, *own = generator.normal(size=(3, len(POSITIVE)))
    first, second = (0.8 * shared + 0.6 * noise for noise in own)
    _, interval, _, _ = compare_areas(POSITIVE, first + 1.5 * POSITIVE, second + 1.0 * POSITIVE)
    return interval


def too_extreme(generator, count):
    odds = generator.normal(-1, 1.5, count)
    return odds, special.expit(SHIFT + SLOPE * odds)


def recalibrated(name, copies=1):
    def interval(generator):
        odds, chance = too_extreme(generator, 400)
        occurred = generator.random(400) < chance
        rows = np.repeat(np.arange(400), copies)
        return recalibrate(occurred[rows], odds[rows], rows).intervals[name]

    return interval


def in_the_large():
    odds, chance = too_extreme(np.random.default_rng(0), MANY)
    return optimize.brentq(lambda a: np.mean(special.expit(a + odds) - chance), -3, 3)


def debiased_error(exponent):
    def interval(generator):
        odds, chance = too_extreme(generator, 1000)
        said = chance if exponent is None else special.expit(exponent * odds)
        forecast = Forecast(said, generator.random(1000) < chance)
        resampling = resampling_of(forecast.occurred, generator)
        (error,) = calibration_errors([forecast], resampling)
        return np.quantile(error.samples, [0.025, 0.975])

    return interval


def true_error(exponent):
    odds, chance = too_extreme(np.random.default_rng(0), MANY)
    said = special.expit(exponent * odds)
    bins = np.argsort(np.argsort(said)) * 15 // MANY
    distances = np.bincount(bins, said - chance) / np.bincount(bins)
    return np.sqrt(np.mean(distances**2))


def scores(generator):
    return special.expit(generator.normal(size=len(POSITIVE)) + 3 * POSITIVE - 2)


def net_benefit(generator):
    curve = decision_curve(POSITIVE, scores(generator), resampling_of(POSITIVE, generator))
    return curve.model_interval[curve.threshold.index(0.2)]


def found_at(threshold):
    """Sensitivity, and share of the others that is called positive."""
    return stats.norm.sf(special.logit(threshold) - 1), stats.norm.sf(special.logit(threshold) + 2)


def true_net_benefit():
    sensitivity, false = found_at(0.2)
    return 0.25 * sensitivity - 0.75 * false * 0.2 / 0.8


def ppv_at_prevalence(generator):
    score = scores(generator)
    task = Multiclass(~POSITIVE * 1, np.stack([score, 1 - score], axis=1))
    resampling = resampling_of(POSITIVE, generator)
    points = evaluate_thresholds(task, ("a", "b"), {"a": 0.3}, resampling, (0.02,))
    return points["a"].at_prevalence[0].numbers.intervals["ppv"]


def true_ppv():
    sensitivity, false = found_at(0.3)
    return 0.02 * sensitivity / (0.02 * sensitivity + 0.98 * false)


# What is covered: interval, truth, and the least and the largest share that passes.
CASES = {
    "AUROC difference (DeLong)": (
        auroc_difference,
        lambda: stats.norm.cdf(1.5 / 2**0.5) - stats.norm.cdf(1.0 / 2**0.5),
        (0.93, 0.97),
    ),
    "calibration slope": (recalibrated("slope"), lambda: SLOPE, (0.93, 0.97)),
    "calibration slope, each radiograph twice": (
        recalibrated("slope", 2), lambda: SLOPE, (0.93, 0.97)
    ),
    "calibration intercept": (recalibrated("intercept"), in_the_large, (0.93, 0.97)),
    "debiased calibration error, calibrated": (debiased_error(None), lambda: 0.0, (0.95, 1)),
    "debiased calibration error": (debiased_error(1.0), lambda: true_error(1.0), (0.93, 1)),
    "debiased calibration error, far too extreme": (
        debiased_error(2.0), lambda: true_error(2.0), (0.93, 0.99)
    ),
    "decision curve at 0.2": (net_benefit, true_net_benefit, (0.92, 0.97)),
    "PPV at a prevalence of 0.02": (ppv_at_prevalence, true_ppv, (0.92, 0.97)),
}  # fmt: skip


def coverage(case, trials):
    interval, truth_of, _ = CASES[case]
    truth = truth_of()
    bounds = [interval(np.random.default_rng(seed)) for seed in range(trials)]
    return np.mean([low <= truth <= high for low, high in bounds])


@pytest.mark.slow
@pytest.mark.parametrize("case", CASES)
def test_intervals_cover_the_truth(case):
    """Three standard errors of 1,000 trials are 2.1 %; near perfect calibration all cover it."""
    share = coverage(case, 1000)
    print(f"{case}: nominal 95.0 %, observed {share:.1%}")
    least, most = CASES[case][2]
    assert least <= share <= most


@pytest.mark.parametrize("case", CASES)
def test_intervals_cover_the_truth_in_a_few_trials(case):
    assert coverage(case, 40) >= 0.85
