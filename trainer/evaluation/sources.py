"""What the collection that a radiograph came from has to do with the answer."""

import collections
import itertools
from typing import Any

import numpy as np

from trainer.evaluation.intervals import statistics_with_intervals
from trainer.evaluation.resampling import Resampling
from trainer.evaluation.statistics import classification_statistics


def statistics_by_source(
    sources: np.ndarray,
    labels: np.ndarray,
    probabilities: np.ndarray,
    class_names: tuple[str, ...],
    resampling: Resampling,
) -> dict[str, dict[str, Any]]:
    """All statistics of the examples of each source alone.

    Args:
        sources: `[examples] str`.
        labels: `[examples] int`.
        probabilities: `[examples, classes] float`.
        class_names: names of the classes.
        resampling: of the examples.

    Returns:
        Source to what `statistics_with_intervals` returns.
    """
    return {
        str(source): statistics_with_intervals(
            labels[rows], probabilities[rows], class_names, resampling.part(rows)
        )
        for source in np.unique(sources)
        for rows in [sources == source]
    }


def pairs_within_sources(
    sources: np.ndarray,
    labels: np.ndarray,
    probabilities: np.ndarray,
    class_names: tuple[str, ...],
    resampling: Resampling,
) -> list[dict[str, Any]]:
    """Each two classes that one source holds, told apart inside that source.

    There the source is no help, so these numbers are free of the confounding of source and class.

    Args:
        sources: as in `statistics_by_source`, like all that follows.
        labels: the true classes.
        probabilities: of each class.
        class_names: names of the classes.
        resampling: of the examples.

    Returns:
        For each pair `source`, `classes`, and what `statistics_with_intervals` returns for the two
        classes' probabilities, scaled to sum to 1.
    """
    found = []
    for source in np.unique(sources):
        inside = sources == source
        for pair in itertools.combinations(np.unique(labels[inside]), 2):
            rows = inside & np.isin(labels, pair)
            # The smallest number keeps a pair that was given no probability at all from 0 / 0.
            shares = probabilities[rows][:, pair] + np.finfo(np.float64).tiny
            names = tuple(class_names[index] for index in pair)
            numbers = statistics_with_intervals(
                np.searchsorted(pair, labels[rows]),
                shares / shares.sum(axis=1, keepdims=True),
                names,
                resampling.part(rows),
            )
            found.append({"source": str(source), "classes": list(names), **numbers})
    return found


def source_alone(
    train_sources: np.ndarray,
    train_labels: np.ndarray,
    sources: np.ndarray,
    labels: np.ndarray,
    class_names: tuple[str, ...],
) -> dict[str, Any]:
    """What one scores who sees the source and no radiograph.

    For each source it is the class most frequent in training, and the most frequent of all for a
    source that training never saw.

    Args:
        train_sources: `[train] str`.
        train_labels: `[train] int`.
        sources: `[examples] str`, of the split that is judged.
        labels: `[examples] int`.
        class_names: names of the classes.

    Returns:
        `says`, source to class, and `accuracy` and `balanced_accuracy` on the split.
    """
    majority = _most_frequent(train_labels)
    says = {
        source: _most_frequent(train_labels[train_sources == source])
        for source in np.unique(train_sources)
    }
    answers = np.array([says.get(source, majority) for source in sources])
    statistics = classification_statistics(labels, np.eye(len(class_names))[answers], class_names)
    return {
        "says": {str(source): class_names[label] for source, label in says.items()},
        "accuracy": statistics["accuracy"],
        "balanced_accuracy": statistics["balanced_accuracy"],
    }


def _most_frequent(labels: np.ndarray) -> int:
    """The most frequent label; of two as frequent, the first."""
    counts = collections.Counter(labels.tolist())
    return min(counts, key=lambda label: (-counts[label], label))
