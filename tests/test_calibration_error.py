import numpy as np
import pytest

from trainer.evaluation.calibration_error import (
    BINS,
    Forecast,
    calibration_errors,
    debiased_square,
    equal_mass_bins,
)
from trainer.evaluation.resampling import Resampling


def draw(count=600, shift=0.1, seed=0):
    generator = np.random.default_rng(seed)
    probability = generator.uniform(0.1, 0.9, count)
    return Forecast(probability, generator.random(count) < probability + shift)


def test_bins_hold_as_many_examples_and_no_probability_is_in_two():
    forecast = draw()
    bins = equal_mass_bins(forecast.probability, np.arange(600))
    assert (np.bincount(bins) == 600 // BINS).all()
    coarse = np.round(forecast.probability, 1)
    bins = equal_mass_bins(coarse, np.arange(600))
    assert all(len(set(bins[coarse == value])) == 1 for value in set(coarse))


def test_bins_are_fewer_where_patients_are_few():
    probability = draw(60).probability
    assert equal_mass_bins(probability, np.arange(60)).max() == 5
    assert equal_mass_bins(probability, np.arange(60) // 12).max() == 0
    assert equal_mass_bins(probability, np.zeros(60, int)) is None


def test_the_square_is_that_of_its_definition():
    """Of independent examples the variance is that of a mean, s^2 / n."""
    forecast = draw()
    residual = forecast.occurred - forecast.probability
    bins = np.argsort(np.argsort(forecast.probability)) // 40
    expected = sum(
        np.mean(bins == index)
        * (residual[bins == index].mean() ** 2 - residual[bins == index].var(ddof=1) / 40)
        for index in range(15)
    )
    assert debiased_square(forecast, bins, np.arange(600)) == pytest.approx(expected, abs=1e-12)
    np.testing.assert_array_equal(equal_mass_bins(forecast.probability, np.arange(600)), bins)


def test_copies_of_an_example_change_nothing():
    forecast = draw()
    rows = np.repeat(np.arange(600), 3)
    copied = Forecast(forecast.probability[rows], forecast.occurred[rows])
    bins = equal_mass_bins(forecast.probability, np.arange(600))
    once = debiased_square(forecast, bins, np.arange(600))
    assert debiased_square(copied, bins[rows], rows) == pytest.approx(once, abs=1e-12)


def test_on_average_it_is_the_truth_and_the_plain_error_is_not():
    squares, plain = [], []
    for seed in range(300):
        forecast = draw(300, shift=0.0, seed=seed)
        bins = equal_mass_bins(forecast.probability, np.arange(300))
        squares.append(debiased_square(forecast, bins, np.arange(300)))
        residual = forecast.occurred - forecast.probability
        plain.append(np.mean((np.bincount(bins, residual) / np.bincount(bins)) ** 2))
    assert abs(np.mean(squares)) < 4 * np.std(squares) / 300**0.5
    assert np.mean(plain) > 20 * np.std(plain) / 300**0.5


def test_resamples_are_moved_to_the_debiased_square():
    """Recomputed resample by resample, from the examples that were drawn."""
    forecast = draw()
    resampling = Resampling(forecast.occurred * 1, None, 50, 7)
    (error,) = calibration_errors([forecast], resampling)
    residual = forecast.occurred - forecast.probability
    plain = []
    for weights in np.concatenate([*resampling.without_strata().weights()]):
        sums, counts = np.bincount(error.bins, weights * residual), np.bincount(error.bins, weights)
        plain.append(np.sum(counts / 600 * (sums / counts) ** 2))
    moved = np.array(plain) - np.mean(plain) + error.value**2
    np.testing.assert_allclose(error.samples, np.sqrt(np.maximum(0, moved)), atol=1e-9)
    assert error.why is None


def test_an_error_that_chance_explains_is_0():
    forecast = Forecast(np.full(100, 0.5), np.arange(100) % 2 == 0)
    (error,) = calibration_errors([forecast], Resampling(forecast.occurred * 1, None, 50, 0))
    assert error.value == 0
    assert "chance" in error.why


def test_a_single_example_has_no_error():
    forecast = Forecast(np.array([0.5]), np.array([True]))
    (error,) = calibration_errors([forecast], Resampling(np.zeros(1, int), None, 50, 0))
    assert error.value is None and np.isnan(error.samples).all()
    assert "two examples" in error.why
