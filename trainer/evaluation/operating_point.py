"""From probabilities to decisions about one class: a threshold, and what it costs and brings."""

from typing import Any

import numpy as np
from sklearn import metrics

from trainer.evaluation.intervals import statistics_with_intervals
from trainer.evaluation.resampling import Resampling

SENSITIVITY = 0.95
# Threshold probabilities of a decision curve.
_THRESHOLDS = np.arange(1, 100) / 100


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
    needed = int(np.ceil(np.round(SENSITIVITY * len(descending), 6)))
    return float(descending[needed - 1])


def operating_point(
    positive: np.ndarray, score: np.ndarray, threshold: float, resampling: Resampling
) -> dict[str, Any]:
    """How a threshold that was chosen elsewhere does here.

    Args:
        positive: `[examples] bool`.
        score: `[examples] float`.
        threshold: this score and higher ones are called positive.
        resampling: of the examples.

    Returns:
        `threshold`, `sensitivity`, `specificity`, `ppv`, `npv`, their `intervals`, and `why`.
        The intervals take the threshold as given.
    """
    said = np.eye(2)[(score >= threshold).astype(int)]
    decided = statistics_with_intervals(
        positive.astype(int), said, ("negative", "positive"), resampling
    )["per_class"]["positive"]
    names = ("sensitivity", "specificity", "ppv", "npv")
    return {
        "threshold": threshold,
        **{name: decided[name] for name in names},
        "intervals": {name: decided["intervals"][name] for name in names},
        "why": {name: why for name, why in decided["why"].items() if name in names},
    }


def decision_curve(positive: np.ndarray, score: np.ndarray) -> dict[str, list[float]]:
    """Net benefit of acting on a score, at each threshold probability (Vickers and Elkin, 2006).

    Args:
        positive: `[examples] bool`.
        score: `[examples] float`.

    Returns:
        `threshold`, and the net benefit of the `model` and of treating `all`, per example; that
        of treating none is 0.
    """
    odds = _THRESHOLDS / (1 - _THRESHOLDS)
    said = score[None, :] >= _THRESHOLDS[:, None]
    true_positives = (said & positive).mean(axis=1)
    false_positives = (said & ~positive).mean(axis=1)
    return {
        "threshold": _THRESHOLDS.tolist(),
        "model": (true_positives - odds * false_positives).tolist(),
        "all": (positive.mean() - odds * (1 - positive.mean())).tolist(),
    }


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
    false_positive_rate, true_positive_rate, _ = metrics.roc_curve(positive, score)
    precision, recall, _ = metrics.precision_recall_curve(positive, score)
    return (false_positive_rate, true_positive_rate), (recall, precision)
