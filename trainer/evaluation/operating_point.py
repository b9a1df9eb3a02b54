"""Operating points: thresholds on a class' probability and their results."""

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Annotated

import numpy as np
from sklearn.metrics import precision_recall_curve, roc_curve

from trainer.evaluation.intervals import Interval
from trainer.evaluation.json_content import INLINE
from trainer.evaluation.metrics import NPV, PPV, SENSITIVITY, SPECIFICITY
from trainer.evaluation.prevalence import AtPrevalence, predictive_values
from trainer.evaluation.resampling import Resampling
from trainer.evaluation.statistics import evaluate
from trainer.evaluation.tasks import Binary, Multiclass

WANTED_SENSITIVITY = 0.95
METRICS = (SENSITIVITY, SPECIFICITY, PPV, NPV)


@dataclasses.dataclass(frozen=True)
class OperatingPoint:
    """Results at a threshold.

    Attributes:
        threshold: scores at or above it are called positive.
        values: the metrics of `METRICS`.
        intervals: their intervals, which treat the threshold as fixed.
        why: maps metrics to the reason why a value or interval is missing or unusual.
        at_prevalence: PPV and NPV at the requested prevalences.
    """

    threshold: float
    values: Annotated[dict[str, float | None], INLINE]
    intervals: dict[str, Interval | None]
    why: dict[str, str]
    at_prevalence: list[AtPrevalence]


def choose_threshold(positive: np.ndarray, score: np.ndarray) -> float | None:
    """Returns the highest threshold with a sensitivity of at least 95 %.

    Args:
        positive: `[examples] bool`.
        score: `[examples] float`, the probability of being positive.

    Returns:
        The threshold, itself called positive; None if there is no positive example.
    """
    if not positive.any():
        return None
    descending = np.sort(score[positive])[::-1]
    # Rounded first, as 0.95 * 60 may be slightly above 57.
    needed = int(np.ceil(np.round(WANTED_SENSITIVITY * len(descending), 6)))
    return float(descending[needed - 1])


def at_threshold(task: Multiclass, index: int, threshold: float) -> Binary:
    """Converts a task to one class against the rest, decided by a threshold.

    Args:
        task: labels and probabilities.
        index: index of the class.
        threshold: probabilities at or above it are called positive.
    """
    one = task.one_against_rest(index)
    return dataclasses.replace(one, predicted=one.scores >= threshold)


def evaluate_thresholds(
    task: Multiclass,
    class_names: Sequence[str],
    thresholds: Mapping[str, float | None],
    resampling: Resampling,
    prevalences: Sequence[float] = (),
) -> dict[str, OperatingPoint]:
    """Evaluates thresholds that were chosen on other examples.

    Args:
        task: labels and probabilities.
        class_names: names of the classes.
        thresholds: threshold by class; None if it has none.
        resampling: bootstrap resamples of the examples.
        prevalences: prevalences for PPV and NPV, 0 to 1.

    Returns:
        The operating point of each class that has a threshold.
    """
    chosen = {name: found for name, found in thresholds.items() if found is not None}
    tasks = [
        (metrics, at_threshold(task, class_names.index(name), threshold))
        for name, threshold in chosen.items()
        for metrics in (METRICS, *map(predictive_values, prevalences))
    ]
    numbers = iter(evaluate(tasks, resampling) if tasks else [])
    points = {}
    for name, threshold in chosen.items():
        here = next(numbers)
        at_prevalence = [AtPrevalence(prevalence, next(numbers)) for prevalence in prevalences]
        points[name] = OperatingPoint(
            threshold, here.values, here.intervals, here.why, at_prevalence
        )
    return points


def roc_and_precision_recall(
    positive: np.ndarray, score: np.ndarray
) -> tuple[tuple[np.ndarray, np.ndarray], tuple[np.ndarray, np.ndarray]] | None:
    """Computes the ROC and precision-recall curves of a class against the rest.

    Args:
        positive: `[examples] bool`.
        score: `[examples] float`.

    Returns:
        False and true positive rates, then recalls and precisions; None unless both the class and
        the rest occur.
    """
    if not 0 < positive.sum() < len(positive):
        return None
    false_positive_rate, true_positive_rate, _ = roc_curve(positive, score)
    precision, recall, _ = precision_recall_curve(positive, score)
    return (false_positive_rate, true_positive_rate), (recall, precision)
