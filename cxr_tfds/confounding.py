"""How much the source tells of the class: as a dataset is, and drawn anew by other shares.

What is drawn is what `trainer.main --source_share=CLASS:SOURCE=SHARE` trains on.
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
    """What a classifier that sees nothing but the source scores.

    Attributes:
      says: The class it answers for each source.
      accuracy: The share of the test radiographs that it gets right, 0 to 1.
      balanced_accuracy: The mean over the classes of the share that it gets right, 0 to 1.
      majority: The accuracy of always answering the most frequent class, 0 to 1.
    """

    says: dict[str, str]
    accuracy: float
    balanced_accuracy: float
    majority: float


class Redrawn(NamedTuple):
    """The training split, with a class of which some shares come from a source.

    Attributes:
      label: The class.
      source: The source.
      size: How many radiographs of the class there are, whatever the share.
      cramers_v: Of each of `SHARES`, as of `cramers_v`; None where it cannot be drawn.
      accuracy: Likewise, of a classifier that sees nothing but the source, on the test split.
    """

    label: str
    source: str
    size: int
    cramers_v: list[float | None]
    accuracy: list[float | None]


def evaluate_source_alone(rows: Iterable[split_table.Row]) -> SourceAlone:
    """Fits a classifier that knows only the source on the training split, and tests it.

    It answers the class that is most frequent in the training split among radiographs of the
    source, and the most frequent class of all for a source it never saw.

    Args:
      rows: The table of splits.

    Returns:
      Its answers and its scores.

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
    """The association of label and source, corrected for its bias.

    Bergsma 2013, "A bias-correction for Cramer's V and Tschuprow's T", Journal of the Korean
    Statistical Society 42: in a table of independent rows and columns, V itself is above 0.

    Args:
      labels: The class of each radiograph, at least two.
      sources: The source of each.

    Returns:
      0: neither tells anything of the other, to 1: the one with more values tells the other. 0
      where there is a single class or source, or as many as radiographs: then nothing is known.
    """
    table = crosstab(labels, sources).count
    last, degrees = table.sum() - 1, np.array(table.shape) - 1
    if not degrees.all() or (degrees >= last).any():
        return 0.0
    phi = chi2_contingency(table, correction=False).statistic / table.sum()
    corrected = max(0.0, phi - degrees.prod() / last)
    return float(np.sqrt(corrected / (degrees - degrees**2 / last).min()))


def redraw(rows: Sequence[split_table.Row], seed: int = 0) -> Iterator[Redrawn]:
    """Draws the training split anew, every class of several sources by each of them.

    Args:
      rows: The table of splits.
      seed: Of the draws.

    Yields:
      What comes of it, class by class.
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
    except ValueError:  # Its groups do not allow this share.
        return None
    return [row for row, is_kept in zip(train, kept, strict=True) if is_kept]


def _most_frequent(labels: Iterable[str]) -> str:
    """The most frequent label; of two that are as frequent, the first by name."""
    counts = Counter(labels)
    return min(counts, key=lambda label: (-counts[label], label))
