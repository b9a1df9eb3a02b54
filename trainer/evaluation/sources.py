"""Evaluation by source, the collection that a radiograph came from."""

import collections
import dataclasses
import itertools
from typing import Annotated

import numpy as np

from trainer.evaluation.json_content import INLINE
from trainer.evaluation.metrics import ACCURACY, BALANCED_ACCURACY
from trainer.evaluation.resampling import Resampling
from trainer.evaluation.statistics import Statistics, evaluate_classes
from trainer.evaluation.tasks import Multiclass


@dataclasses.dataclass(frozen=True)
class PairWithinSource:
    """Discrimination of two classes within one source.

    Within a source, the source carries no information, so the metrics are free of confounding by
    source.

    Attributes:
        source: name of the source.
        classes: names of the two classes.
        statistics: statistics of their probabilities, normalized to sum to 1.
    """

    source: str
    classes: list[str]
    statistics: Annotated[Statistics, INLINE]


@dataclasses.dataclass(frozen=True)
class SourceAlone:
    """The score of predicting from the source without seeing the radiograph.

    Attributes:
        says: most frequent class in training, by source.
        accuracy: accuracy of predicting that class.
        balanced_accuracy: balanced accuracy of predicting that class.
    """

    says: dict[str, str]
    accuracy: float
    balanced_accuracy: float


def evaluate_by_source(
    sources: np.ndarray, task: Multiclass, class_names: tuple[str, ...], resampling: Resampling
) -> dict[str, Statistics]:
    """Evaluates the examples of each source separately.

    Args:
        sources: `[examples] str`.
        task: labels and probabilities of the examples.
        class_names: names of the classes.
        resampling: bootstrap resamples of the examples.

    Returns:
        The statistics by source.
    """
    return {
        str(source): evaluate_classes(
            Multiclass(task.labels[rows], task.probabilities[rows]),
            class_names,
            resampling.part(rows),
        )
        for source in np.unique(sources)
        for rows in [sources == source]
    }


def evaluate_pairs_within_sources(
    sources: np.ndarray, task: Multiclass, class_names: tuple[str, ...], resampling: Resampling
) -> list[PairWithinSource]:
    """Evaluates each pair of classes within a source.

    Args:
        sources: `[examples] str`.
        task: labels and probabilities.
        class_names: names of the classes.
        resampling: bootstrap resamples of the examples.

    Returns:
        The pairs by source, then by class.
    """
    found = []
    for source in np.unique(sources):
        inside = sources == source
        for pair in itertools.combinations(np.unique(task.labels[inside]), 2):
            rows = inside & np.isin(task.labels, pair)
            # The smallest positive number avoids 0 / 0 for a pair without any probability.
            shares = task.probabilities[rows][:, pair] + np.finfo(np.float64).tiny
            names = [class_names[index] for index in pair]
            statistics = evaluate_classes(
                Multiclass(
                    np.searchsorted(pair, task.labels[rows]),
                    shares / shares.sum(axis=1, keepdims=True),
                ),
                names,
                resampling.part(rows),
            )
            found.append(PairWithinSource(str(source), names, statistics))
    return found


def evaluate_source_alone(
    train_sources: np.ndarray,
    train_labels: np.ndarray,
    sources: np.ndarray,
    labels: np.ndarray,
    class_names: tuple[str, ...],
) -> SourceAlone:
    """Evaluates predicting the source's most frequent class in training.

    For a source that does not occur in training, the most frequent class overall is predicted.

    Args:
        train_sources: `[train] str`.
        train_labels: `[train] int`.
        sources: `[examples] str`, of the evaluated split.
        labels: `[examples] int`.
        class_names: names of the classes.

    Returns:
        The predictions and their scores.
    """
    majority = _most_frequent(train_labels)
    says = {
        source: _most_frequent(train_labels[train_sources == source])
        for source in np.unique(train_sources)
    }
    predicted = np.array([says.get(source, majority) for source in sources])
    task = Multiclass(labels, np.eye(len(class_names))[predicted])
    return SourceAlone(
        says={str(source): class_names[label] for source, label in says.items()},
        accuracy=ACCURACY.compute(task),
        balanced_accuracy=BALANCED_ACCURACY.compute(task),
    )


def _most_frequent(labels: np.ndarray) -> int:
    """Returns the most frequent label; the first in case of a tie."""
    counts = collections.Counter(labels.tolist())
    return min(counts, key=lambda label: (-counts[label], label))
