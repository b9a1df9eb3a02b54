"""Selective prediction: accuracy if the model only answers its most confident examples."""

import dataclasses
from typing import Annotated

import numpy as np
from scipy import special

from trainer.evaluation.intervals import interval
from trainer.evaluation.json_content import INLINE
from trainer.evaluation.resampling import Resampling
from trainer.evaluation.statistics import Numbers, with_intervals
from trainer.evaluation.tasks import Multiclass

# Shares of answered examples on the curve, and those whose accuracy is a named metric.
_SHARES = np.arange(1, 101) / 100
_NAMED = {f"accuracy_at_{percent}": percent for percent in (50, 80, 90)}


@dataclasses.dataclass(frozen=True)
class AccuracyCurve:
    """Accuracy on the most confident examples.

    Attributes:
        answered: shares of the examples, 0.01 to 1.
        accuracy: accuracy on that share.
        low: lower end of its pointwise 95 % interval.
        high: upper end of that interval.
    """

    answered: list[float]
    accuracy: list[float]
    low: list[float]
    high: list[float]


@dataclasses.dataclass(frozen=True)
class Selective:
    """Selective prediction in the order of the highest probability.

    Attributes:
        numbers: `aurc`, the mean error over all shares answered; `e_aurc`, its excess over the
            optimal order, with all mistakes last (E-AURC; Geifman, Uziel and El-Yaniv, 2019);
            `accuracy_at_50`, `_80` and `_90`, the accuracy on that percentage of the examples.
        curve: accuracy against the share answered.
    """

    numbers: Annotated[Numbers, INLINE]
    curve: AccuracyCurve


def evaluate_selective(task: Multiclass, resampling: Resampling) -> Selective:
    """Evaluates how well the highest probability separates correct from wrong predictions.

    No temperature is applied: with two classes it preserves the order, with more it hardly changes
    it.

    Args:
        task: labels and probabilities, without weights.
        resampling: bootstrap resamples of its examples.

    Returns:
        The metrics and the curve.
    """
    confidence, wrong = task.probabilities.max(axis=1), ~task.right

    def of_weights(weights: np.ndarray) -> dict[str, np.ndarray]:
        area = risk_coverage_area(confidence, wrong, weights)
        least = risk_coverage_area(-wrong.astype(float), wrong, weights)
        accuracy = accuracy_when_answering(confidence, wrong, weights, _SHARES)
        # Prevents small negative values due to rounding.
        return {"aurc": area, "e_aurc": np.maximum(area - least, 0), "accuracy": accuracy}

    values = {name: found[0] for name, found in of_weights(np.ones((1, len(wrong)))).items()}
    samples = resampling.samples(of_weights)
    independent = _SHARES * len(wrong) * resampling.independent_share
    counts = [*zip(values["accuracy"] * independent, independent, strict=True)]
    bounds = [interval(*of) for of in zip(samples["accuracy"].T, counts, strict=True)]
    curve = AccuracyCurve(
        answered=_SHARES.tolist(),
        accuracy=values["accuracy"].tolist(),
        low=[bound[0] for bound, _ in bounds],
        high=[bound[1] for bound, _ in bounds],
    )
    return Selective(_numbers(values, samples, counts), curve)


def _numbers(
    values: dict[str, np.ndarray],
    samples: dict[str, np.ndarray],
    counts: list[tuple[float, float]],
) -> Numbers:
    """Returns the areas and the named accuracies with their intervals."""
    columns = {name: percent - 1 for name, percent in _NAMED.items()}
    return with_intervals(
        {name: float(values[name]) for name in ("aurc", "e_aurc")}
        | {name: float(values["accuracy"][column]) for name, column in columns.items()},
        {},
        samples | {name: samples["accuracy"][:, column] for name, column in columns.items()},
        {name: counts[column] for name, column in columns.items()},
    )


def risk_coverage_area(
    confidence: np.ndarray, wrong: np.ndarray, weights: np.ndarray
) -> np.ndarray:
    """Computes the area under the risk-coverage curve, AURC (Geifman and El-Yaniv, 2017).

    It is the mean, over all k, of the error on the k most confident examples. Ties, and examples
    drawn several times in a resample, are averaged over all orders.

    Args:
        confidence: `[examples] float`.
        wrong: `[examples] bool`.
        weights: `[resamples, examples]`, integers.

    Returns:
        `[resamples] float`.
    """
    answered, mistakes = _by_confidence(confidence, wrong, weights)
    before, mistakes_before = answered[:, :-1], mistakes[:, :-1]
    here, mistakes_here = np.diff(answered), np.diff(mistakes)
    share = mistakes_here / np.maximum(here, 1)
    # The sum of (mistakes_before + share j) / (before + j) over the j of a tie, from 1 to `here`,
    # using harmonic numbers.
    harmonic = special.digamma(answered + 1)
    sums = mistakes_here + (mistakes_before - share * before) * np.diff(harmonic)
    return sums.sum(axis=1) / answered[:, -1]


def accuracy_when_answering(
    confidence: np.ndarray, wrong: np.ndarray, weights: np.ndarray, shares: np.ndarray
) -> np.ndarray:
    """Computes the accuracy on the most confident examples; the last one may count partially.

    Args:
        confidence: `[examples] float`.
        wrong: `[examples] bool`.
        weights: `[resamples, examples]`.
        shares: `[shares] float`, shares of the examples, above 0 and at most 1.

    Returns:
        `[resamples, shares] float`.
    """
    answered, mistakes = _by_confidence(confidence, wrong, weights)
    wanted = shares * answered[:, -1:]
    made = [np.interp(*row) for row in zip(wanted, answered, mistakes, strict=True)]
    return 1 - np.array(made) / wanted


def _by_confidence(
    confidence: np.ndarray, wrong: np.ndarray, weights: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Counts examples and mistakes above each confidence, descending: `[resamples, 1 + ties]`."""
    order = np.argsort(-confidence, kind="stable")
    starts = np.flatnonzero(np.diff(confidence[order], prepend=np.inf))
    ordered = weights[:, order]
    counts = np.add.reduceat(ordered, starts, axis=1)
    mistakes = np.add.reduceat(ordered * wrong[order], starts, axis=1)
    nothing = np.zeros((len(weights), 1))
    return (
        np.hstack([nothing, counts.cumsum(axis=1)]),
        np.hstack([nothing, mistakes.cumsum(axis=1)]),
    )
