"""From probabilities to decisions about one class: a threshold, and what it costs and brings."""

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
    """What a threshold brings.

    Attributes:
        threshold: this score and higher ones are called positive.
        values: the metrics of `METRICS`.
        intervals: theirs; they take the threshold as given.
        why: metric to why its value or interval is missing or unusual.
        at_prevalence: PPV and NPV where the class is as frequent as was asked for.
    """

    threshold: float
    values: Annotated[dict[str, float | None], INLINE]
    intervals: dict[str, Interval | None]
    why: dict[str, str]
    at_prevalence: list[AtPrevalence]


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


def at_threshold(task: Multiclass, index: int, threshold: float) -> Binary:
    """One class against the rest, called by a threshold.

    Args:
        task: labels and probabilities.
        index: of the class.
        threshold: this probability and higher ones are called positive.
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
    """How thresholds that were chosen elsewhere do here.

    Args:
        task: labels and probabilities.
        class_names: names of the classes.
        thresholds: class to its threshold, None if it has none.
        resampling: of the examples.
        prevalences: for which PPV and NPV are computed, 0 to 1.

    Returns:
        Class to its operating point, of the classes that have a threshold.
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
