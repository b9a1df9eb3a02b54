"""Calibration error, corrected for the bias due to chance."""

import dataclasses
from collections.abc import Iterator, Sequence

import numpy as np

from trainer.evaluation.resampling import Resampling

NAME = "debiased_error"
LABEL = "Calibration error, debiased"
BINS = 15
# Minimum number of groups per bin.
_FEWEST = 10
_TOO_FEW = "needs two examples that are independent of each other"
_NONE_FOUND = "no more than chance alone would give"


@dataclasses.dataclass(frozen=True)
class Forecast:
    """Probabilities of an event, and whether it occurred.

    Attributes:
        probability: `[examples] float`.
        occurred: `[examples] bool`.
    """

    probability: np.ndarray
    occurred: np.ndarray


@dataclasses.dataclass(frozen=True)
class CalibrationError:
    """The square root of a forecast's debiased mean squared calibration error.

    Attributes:
        value: the error, 0 to 1; None if it is undefined.
        samples: `[resamples] float`, from which the interval is computed; NaN if undefined.
        why: note on the value; None if there is none.
        bins: `[examples] int`, the bin of each example; None if the error is undefined.
    """

    value: float | None
    samples: np.ndarray
    why: str | None
    bins: np.ndarray | None


def equal_mass_bins(probability: np.ndarray, groups: np.ndarray) -> np.ndarray | None:
    """Assigns examples to bins of about equal size; equal probabilities share a bin.

    The error is then estimated about equally well in every bin, whereas most of the equal-width
    bins of a reliability diagram are nearly empty.

    Args:
        probability: `[examples] float`.
        groups: `[examples] int`, equal for dependent examples.

    Returns:
        `[examples] int`, the bin of each example. There are as many bins as possible with at least
        10 groups each, at most `BINS`: one bin if there are fewer groups; None if there is only one
        group.
    """
    ordered = np.sort(probability)
    for count in range(BINS, 0, -1):
        ends = np.unique(ordered[np.arange(1, count) * len(ordered) // count])
        bins = np.unique(np.searchsorted(ends, probability, side="right"), return_inverse=True)[1]
        pairs = np.unique(np.stack([bins, groups]), axis=1)
        if np.bincount(pairs[0]).min() >= (_FEWEST if bins.any() else 2):
            return bins
    return None


def debiased_square(forecast: Forecast, bins: np.ndarray, groups: np.ndarray) -> float:
    """Computes the debiased mean squared calibration error over the bins.

    The error of an example is the difference between the mean probability and the observed share in
    its bin.

    The plain mean is positive even for perfect probabilities. Kumar, Liang and Ma (2019), "Verified
    uncertainty calibration", like Broecker (2012) and Ferro and Fricker (2012) before them,
    subtract the variance of each bin's difference. Here the variance allows for dependent examples
    within a group; with independent examples it is the variance of a mean.

    Args:
        forecast: the probabilities and outcomes.
        bins: the result of `equal_mass_bins`.
        groups: `[examples] int`, equal for dependent examples.

    Returns:
        The mean, negative if the differences are smaller than expected by chance.
    """
    residual = forecast.occurred - forecast.probability
    square = 0.0
    for index in range(bins.max() + 1):
        rows = bins == index
        share, distance = rows.mean(), residual[rows].mean()
        of_group = np.unique(groups[rows], return_inverse=True)[1]
        sums = np.bincount(of_group, residual[rows] - distance)
        variance = (sums**2).sum() / rows.sum() ** 2 * len(sums) / (len(sums) - 1)
        square += share * (distance**2 - variance)
    return float(square)


def calibration_errors(
    forecasts: Sequence[Forecast], resampling: Resampling
) -> list[CalibrationError]:
    """Computes the debiased calibration errors of forecasts of the same examples.

    Resampling adds the bias due to chance a second time. The resampled squared errors are therefore
    shifted so that their mean is the debiased squared error before the square root is taken, which
    keeps the percentile interval from being inflated. Resampling is not stratified by class, as the
    share of a class is part of the calibration.

    Args:
        forecasts: the probabilities and outcomes.
        resampling: bootstrap resamples of the examples.

    Returns:
        The error of each forecast.
    """
    groups = resampling.group_of
    bins = [equal_mass_bins(forecast.probability, groups) for forecast in forecasts]
    defined = [pair for pair in zip(forecasts, bins, strict=True) if pair[1] is not None]
    samples = iter(_resampled_squares(defined, resampling.without_strata()).T if defined else [])
    return [
        CalibrationError(None, np.full(resampling.count, np.nan), _TOO_FEW, None)
        if of_forecast is None
        else _error(forecast, of_forecast, groups, next(samples))
        for forecast, of_forecast in zip(forecasts, bins, strict=True)
    ]


def _error(
    forecast: Forecast, bins: np.ndarray, groups: np.ndarray, samples: np.ndarray
) -> CalibrationError:
    square = debiased_square(forecast, bins, groups)
    return CalibrationError(
        value=float(np.sqrt(max(0.0, square))),
        samples=np.sqrt(np.maximum(0.0, samples - samples.mean() + square)),
        why=None if square > 0 else _NONE_FOUND,
        bins=bins,
    )


def _resampled_squares(
    forecasts: Sequence[tuple[Forecast, np.ndarray]], resampling: Resampling
) -> np.ndarray:
    """Computes each forecast's plain mean square in every resample, `[resamples, forecasts]`."""
    cells = [np.eye(bins.max() + 1)[bins] for _, bins in forecasts]
    residuals = [
        cell * (forecast.occurred - forecast.probability)[:, None]
        for cell, (forecast, _) in zip(cells, forecasts, strict=True)
    ]

    def squares(weights: np.ndarray) -> Iterator[np.ndarray]:
        for cell, residual in zip(cells, residuals, strict=True):
            counts = weights @ cell
            # An empty bin has no difference and no examples.
            yield ((weights @ residual) ** 2 / np.maximum(counts, 1)).sum(axis=1) / counts.sum(
                axis=1
            )

    return resampling.samples(lambda weights: {"": np.stack([*squares(weights)], axis=1)})[""]
