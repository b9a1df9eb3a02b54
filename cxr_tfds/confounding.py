"""Confounding of source and class in a dataset, and after resampling a source's share.

Resampling is the same as in `trainer.main --source_share=CLASS:SOURCE=SHARE`.
"""

from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Sequence
from typing import NamedTuple

import numpy as np
from scipy.stats import chi2_contingency
from scipy.stats.contingency import crosstab

from cxr_command import split_table
from cxr_command.source_mix import SourceMix, draw, size_of_draw

SHARES = (0.0, 0.25, 0.5, 0.75, 1.0)


class SourceAlone(NamedTuple):
    """Scores of a classifier that only sees the source.

    Attributes:
      says: The predicted class of each source.
      accuracy: The accuracy on the test radiographs, 0 to 1.
      balanced_accuracy: The mean recall over the classes, 0 to 1.
      majority: The accuracy of always predicting the most frequent class, 0 to 1.
    """

    says: dict[str, str]
    accuracy: float
    balanced_accuracy: float
    majority: float


class Redrawn(NamedTuple):
    """The training split, resampled so that a share of one class comes from a source.

    Attributes:
      label: The class.
      source: The source.
      size: The number of radiographs of the class, the same for all shares.
      cramers_v: The result of `cramers_v` for each of `SHARES`; None if the share is impossible.
      accuracy: The test accuracy of a classifier that only sees the source, for each of `SHARES`.
    """

    label: str
    source: str
    size: int
    cramers_v: list[float | None]
    accuracy: list[float | None]


def evaluate_source_alone(rows: Iterable[split_table.Row]) -> SourceAlone:
    """Fits a classifier that knows only the source on the training split, and tests it.

    It predicts the source's most frequent class in the training split, and the overall most
    frequent class for an unseen source.

    Args:
      rows: The table of splits.

    Returns:
      Its predictions and scores.

    Raises:
      ValueError: The training or the test split is empty.
    """
    rows = list(rows)
    train = [row for row in rows if row.split == "train"]
    test = [row for row in rows if row.split == "test"]
    if not train or not test:
        raise ValueError("The table has no training or no test radiographs.")
    majority = _most_frequent(row.label for row in train)
    labels = defaultdict(list)
    for row in train:
        labels[row.source].append(row.label)
    says = {source: _most_frequent(labels[source]) for source in sorted(labels)}
    right = defaultdict(list)
    for row in test:
        right[row.label].append(says.get(row.source, majority) == row.label)
    return SourceAlone(
        says=says,
        accuracy=sum(map(sum, right.values())) / len(test),
        balanced_accuracy=sum(sum(hits) / len(hits) for hits in right.values()) / len(right),
        majority=sum(row.label == majority for row in test) / len(test),
    )


def cramers_v(labels: Sequence[str], sources: Sequence[str]) -> float:
    """Computes the bias-corrected association of label and source.

    Bergsma 2013, "A bias-correction for Cramer's V and Tschuprow's T", Journal of the Korean
    Statistical Society 42: uncorrected, V is positive even for independent rows and columns.

    Args:
      labels: The class of each radiograph, at least two.
      sources: The source of each radiograph.

    Returns:
      0 (independent) to 1 (the one with more values determines the other). 0 if there is a single
      class or source, or as many as radiographs, as the association is then unknown.
    """
    table = crosstab(labels, sources).count
    last, degrees = table.sum() - 1, np.array(table.shape) - 1
    if not degrees.all() or (degrees >= last).any():
        return 0.0
    phi = chi2_contingency(table, correction=False).statistic / table.sum()
    corrected = max(0.0, phi - degrees.prod() / last)
    return float(np.sqrt(corrected / (degrees - degrees**2 / last).min()))


def redraw(rows: Sequence[split_table.Row], seed: int = 0) -> Iterator[Redrawn]:
    """Resamples the training split, each class with several sources by each of them.

    Args:
      rows: The table of splits.
      seed: The random seed.

    Yields:
      The results, class by class.
    """
    train = [row for row in rows if row.split == "train"]
    test = [row for row in rows if row.split == "test"]
    table = [
        np.array([getattr(row, name) for row in train]) for name in ("label", "source", "group")
    ]
    for label, source in sorted({(row.label, row.source) for row in train}):
        if not (size := size_of_draw(label, source, *table)):
            continue
        drawn = [_drawn(train, SourceMix(label, source, share, seed), *table) for share in SHARES]
        yield Redrawn(
            label,
            source,
            size,
            [_association(part) if part else None for part in drawn],
            [evaluate_source_alone(part + test).accuracy if part else None for part in drawn],
        )


def _association(rows: Sequence[split_table.Row]) -> float:
    return cramers_v([row.label for row in rows], [row.source for row in rows])


def _drawn(
    train: Sequence[split_table.Row], mix: SourceMix, *table: np.ndarray
) -> list[split_table.Row] | None:
    try:
        kept = draw(mix, *table)
    except ValueError:  # The groups do not allow this share.
        return None
    return [row for row, is_kept in zip(train, kept, strict=True) if is_kept]


def _most_frequent(labels: Iterable[str]) -> str:
    """Returns the most frequent label; the first by name in case of a tie."""
    counts = Counter(labels)
    return min(counts, key=lambda label: (-counts[label], label))
