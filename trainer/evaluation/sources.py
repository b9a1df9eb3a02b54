"""What the collection that a radiograph came from has to do with the prediction."""

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
    """Two classes that one source holds, told apart inside that source.

    There the source is no help, so these numbers are free of the confounding of source and class.

    Attributes:
        source: its name.
        classes: names of the two.
        statistics: of their probabilities, scaled to sum to 1.
    """

    source: str
    classes: list[str]
    statistics: Annotated[Statistics, INLINE]


@dataclasses.dataclass(frozen=True)
class SourceAlone:
    """What one scores who sees the source and no radiograph.

    Attributes:
        says: source to the class most frequent there in training.
        accuracy: of predicting it.
        balanced_accuracy: likewise.
    """

    says: dict[str, str]
    accuracy: float
    balanced_accuracy: float


def evaluate_by_source(
    sources: np.ndarray, task: Multiclass, class_names: tuple[str, ...], resampling: Resampling
) -> dict[str, Statistics]:
    """Evaluates the examples of each source alone.

    Args:
        sources: `[examples] str`.
        task: labels and probabilities of the examples.
        class_names: names of the classes.
        resampling: of the examples.

    Returns:
        Source to its statistics.
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
    """Evaluates each two classes that one source holds.

    Args:
        sources: as in `evaluate_by_source`, like all that follows.
        task: labels and probabilities.
        class_names: names of the classes.
        resampling: of the examples.

    Returns:
        The pairs by source, then by class.
    """
    found = []
    for source in np.unique(sources):
        inside = sources == source
        for pair in itertools.combinations(np.unique(task.labels[inside]), 2):
            rows = inside & np.isin(task.labels, pair)
            # The smallest number keeps a pair that was given no probability at all from 0 / 0.
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

    For a source that training never saw it is the most frequent class of all.

    Args:
        train_sources: `[train] str`.
        train_labels: `[train] int`.
        sources: `[examples] str`, of the split that is evaluated.
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
    """The most frequent label; of two as frequent, the first."""
    counts = collections.Counter(labels.tolist())
    return min(counts, key=lambda label: (-counts[label], label))
