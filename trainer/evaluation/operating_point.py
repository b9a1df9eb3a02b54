"""From probabilities to decisions about one class: a threshold, and what it costs and brings."""

import dataclasses
from typing import Annotated

import numpy as np
from sklearn.metrics import precision_recall_curve, roc_curve

from trainer.evaluation.intervals import Interval
from trainer.evaluation.json_content import INLINE
from trainer.evaluation.metrics import NPV, PPV, SENSITIVITY, SPECIFICITY
from trainer.evaluation.resampling import Resampling
from trainer.evaluation.statistics import evaluate
from trainer.evaluation.tasks import Binary

WANTED_SENSITIVITY = 0.95
METRICS = (SENSITIVITY, SPECIFICITY, PPV, NPV)
# Threshold probabilities of a decision curve.
_THRESHOLDS = np.arange(1, 100) / 100


@dataclasses.dataclass(frozen=True)
class OperatingPoint:
    """What a threshold brings.

    Attributes:
        threshold: this score and higher ones are called positive.
        values: the metrics of `METRICS`.
        intervals: theirs; they take the threshold as given.
        why: metric to why its value or interval is missing or unusual.
    """

    threshold: float
    values: Annotated[dict[str, float | None], INLINE]
    intervals: dict[str, Interval | None]
    why: dict[str, str]


@dataclasses.dataclass(frozen=True)
class DecisionCurve:
    """Net benefit per example at each threshold probability; that of treating none is 0.

    Attributes:
        threshold: the threshold probabilities.
        model: net benefit of acting on the model.
        all: net benefit of treating all.
    """

    threshold: list[float]
    model: list[float]
    all: list[float]


def choose_threshold(positive: np.ndarray, score: np.ndarray) -> float | None:
    """The highest threshold at which at least 95 % of the positives are found.

    Args:
        positive: `[examples] bool`.
        score: `[examples] float`, the probability of being positive.

    Returns:
        The threshold, a score that is itself called positive; None without a positive example.
    """
    if not positive.any():
        return None
    descending = np.sort(score[positive])[::-1]
    # Rounded first: 0.95 * 60 may come out a little above 57.
    needed = int(np.ceil(np.round(WANTED_SENSITIVITY * len(descending), 6)))
    return float(descending[needed - 1])


def evaluate_threshold(
    positive: np.ndarray, score: np.ndarray, threshold: float, resampling: Resampling
) -> OperatingPoint:
    """How a threshold that was chosen elsewhere does here.

    Args:
        positive: `[examples] bool`.
        score: `[examples] float`.
        threshold: this score and higher ones are called positive.
        resampling: of the examples.

    Returns:
        The operating point.
    """
    task = Binary(positive, score >= threshold, score)
    (numbers,) = evaluate([(METRICS, task)], resampling)
    return OperatingPoint(threshold, numbers.values, numbers.intervals, numbers.why)


def decision_curve(positive: np.ndarray, score: np.ndarray) -> DecisionCurve:
    """Net benefit of acting on a score, at each threshold probability (Vickers and Elkin, 2006).

    Args:
        positive: `[examples] bool`.
        score: `[examples] float`.

    Returns:
        The curve.
    """
    odds = _THRESHOLDS / (1 - _THRESHOLDS)
    said = score[None, :] >= _THRESHOLDS[:, None]
    true_positives = (said & positive).mean(axis=1)
    false_positives = (said & ~positive).mean(axis=1)
    return DecisionCurve(
        threshold=_THRESHOLDS.tolist(),
        model=(true_positives - odds * false_positives).tolist(),
        all=(positive.mean() - odds * (1 - positive.mean())).tolist(),
    )


def roc_and_precision_recall(
    positive: np.ndarray, score: np.ndarray
) -> tuple[tuple[np.ndarray, np.ndarray], tuple[np.ndarray, np.ndarray]] | None:
    """The two curves of a class against the rest.

    Args:
        positive: `[examples] bool`.
        score: `[examples] float`.

    Returns:
        False and true positive rates, then recalls and precisions; None if the class or the rest
        does not occur.
    """
    if not 0 < positive.sum() < len(positive):
        return None
    false_positive_rate, true_positive_rate, _ = roc_curve(positive, score)
    precision, recall, _ = precision_recall_curve(positive, score)
    return (false_positive_rate, true_positive_rate), (recall, precision)
