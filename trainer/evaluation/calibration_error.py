"""How far probabilities are from what occurs, without what chance adds to that distance."""

import dataclasses
from collections.abc import Iterator, Sequence

import numpy as np

from trainer.evaluation.resampling import Resampling

NAME = "debiased_error"
LABEL = "Calibration error, debiased"
BINS = 15
# Groups that each bin should have at least.
_FEWEST = 10
_TOO_FEW = "needs two examples that are independent of each other"
_NONE_FOUND = "no more than chance alone would give"


@dataclasses.dataclass(frozen=True)
class Forecast:
    """Probabilities of something, and whether it occurred.

    Attributes:
        probability: `[examples] float`.
        occurred: `[examples] bool`.
    """

    probability: np.ndarray
    occurred: np.ndarray


@dataclasses.dataclass(frozen=True)
class CalibrationError:
    """The root of a forecast's debiased mean square error of calibration.

    Attributes:
        value: the error, 0 to 1; None if it is undefined.
        samples: `[resamples] float`, what its interval is made of; NaN if it is undefined.
        why: what is to be said of it; None if nothing is.
        bins: `[examples] int`, what it is the mean over; None if it is undefined.
    """

    value: float | None
    samples: np.ndarray
    why: str | None
    bins: np.ndarray | None


def equal_mass_bins(probability: np.ndarray, groups: np.ndarray) -> np.ndarray | None:
    """Bins of about as many examples each, equal probabilities in the same one.

    So the error of every bin is known about as well; of the bins of equal width that a reliability
    diagram has, most are nearly empty.

    Args:
        probability: `[examples] float`.
        groups: `[examples] int`, the same for examples that depend on each other.

    Returns:
        `[examples] int`, the bin of each: as many bins as hold at least 10 groups each, at most
        `BINS`; one bin if there are fewer groups, None if there is only one.
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
    """Mean over the examples of the squared distance of their bin's mean probability and share.

    The plain mean is above 0 however good the probabilities are. Kumar, Liang and Ma (2019),
    "Verified uncertainty calibration", as Broecker (2012) and Ferro and Fricker (2012) before them,
    take off the variance of each bin's distance; here examples of one group may depend on each
    other, and where none do it is the variance of a mean.

    Args:
        forecast: the probabilities.
        bins: what `equal_mass_bins` returned.
        groups: `[examples] int`, the same for examples that depend on each other.

    Returns:
        The mean, below 0 where the distances are smaller than chance makes them.
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
    """The debiased calibration error of some forecasts of the same examples, with resamples.

    In a resample the plain square is larger than in the examples, by chance once more. The
    resamples are therefore moved until their mean is the debiased square, and only then drawn the
    root of: their percentiles are an interval that is not inflated. They are drawn without regard
    to class, as the share of a class is part of what is calibrated.

    Args:
        forecasts: the probabilities.
        resampling: of the examples.

    Returns:
        The error of each.
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
    """The plain mean square of each forecast in every resample: `[resamples, forecasts]`."""
    cells = [np.eye(bins.max() + 1)[bins] for _, bins in forecasts]
    residuals = [
        cell * (forecast.occurred - forecast.probability)[:, None]
        for cell, (forecast, _) in zip(cells, forecasts, strict=True)
    ]

    def squares(weights: np.ndarray) -> Iterator[np.ndarray]:
        for cell, residual in zip(cells, residuals, strict=True):
            counts = weights @ cell
            # An empty bin has no distance and no examples to count it for.
            yield ((weights @ residual) ** 2 / np.maximum(counts, 1)).sum(axis=1) / counts.sum(
                axis=1
            )

    return resampling.samples(lambda weights: {"": np.stack([*squares(weights)], axis=1)})[""]
