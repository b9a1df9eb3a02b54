"""Samples the examples of a class so that a chosen share comes from one source.

If a class occurs in several sources, these shares determine how strongly source and label are
associated (`CovariateDataset` of torchxrayvision; Viviano et al. 2020, "Saliency is a possible red
herring when diagnosing poor generalization"). The number of examples is the same for every share:
the largest that both the source and the other sources can provide in whole groups. Groups with
examples of both are excluded.
"""

import dataclasses
import hashlib
import itertools
from collections.abc import Iterable, Iterator

import numpy as np


@dataclasses.dataclass(frozen=True)
class SourceMix:
    """The definition of a sample.

    Attributes:
        label: name of the class.
        source: name of the source.
        share: share of the class' examples from this source, 0 to 1; the rest is from its other
            sources.
        seed: random seed.
    """

    label: str
    source: str
    share: float
    seed: int

    def __str__(self) -> str:
        return f"{self.label}:{self.source}={self.share:g}"


def parse(text: str, seed: int) -> SourceMix:
    """Parses `CLASS:SOURCE=SHARE`.

    Args:
        text: text such as `Normal:kermany=0.5`.
        seed: random seed.

    Raises:
        ValueError: the text has another form.
    """
    names, _, share = text.rpartition("=")
    label, _, source = names.partition(":")
    try:
        number = float(share)
    except ValueError:
        number = -1
    if not (label and source and 0 <= number <= 1):
        raise ValueError(
            "expected CLASS:SOURCE=SHARE with a share from 0 to 1, such as Normal:kermany=0.5"
        )
    return SourceMix(label, source, number, seed)


def size_of_draw(
    label: str, source: str, labels: np.ndarray, sources: np.ndarray, groups: np.ndarray
) -> int:
    """Returns the number of examples of a class for every share; 0 if it has only one source.

    Args:
        label: name of the class.
        source: name of the source.
        labels: `[examples] str`, the classes.
        sources: `[examples] str`, the sources.
        groups: `[examples] str`, equal for examples that must stay together.
    """
    return _size(*(groups[pool] for pool in _pools(label, source, labels, sources, groups)))


def draw(mix: SourceMix, labels: np.ndarray, sources: np.ndarray, groups: np.ndarray) -> np.ndarray:
    """Selects the examples to keep; those of other classes are all kept.

    If every group is a single example, a larger share contains the source's examples of a smaller
    share.

    Args:
        mix: the definition of the sample.
        labels: as for `size_of_draw`.
        sources: as for `size_of_draw`.
        groups: as for `size_of_draw`.

    Returns:
        `[examples] bool`.

    Raises:
        ValueError: the examples do not allow it; the message says what is available.
    """
    if mix.label not in labels:
        raise ValueError(f"there is no class {mix.label!r} among {_counted(labels)}")
    inside, outside = _pools(mix.label, mix.source, labels, sources, groups)
    size = _size(groups[inside], groups[outside])
    if not size:
        raise ValueError(
            f"the sources of {mix.label} are {_counted(sources[inside | outside])}; a share needs "
            f"examples from {mix.source} and from another source"
        )
    from_source = round(size * mix.share)
    kept = labels != mix.label
    kept[_take(inside, groups, from_source, mix.seed)] = True
    kept[_take(outside, groups, size - from_source, mix.seed)] = True
    return kept


def _pools(
    label: str, source: str, labels: np.ndarray, sources: np.ndarray, groups: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Returns a class' examples from the source and from others, `[examples] bool` each."""
    inside = (labels == label) & (sources == source)
    outside = (labels == label) & (sources != source)
    in_both = np.isin(groups, np.intersect1d(groups[inside], groups[outside]))
    return inside & ~in_both, outside & ~in_both


def _size(inside: np.ndarray, outside: np.ndarray) -> int:
    """Returns the largest number of examples in whole groups possible in both pools."""
    of_both = ~0
    for groups in (inside, outside):
        *_, totals = _totals(np.unique(groups, return_counts=True)[1])
        of_both &= totals
    return of_both.bit_length() - 1


def _totals(sizes: Iterable[np.integer], most: int | None = None) -> Iterator[int]:
    """Yields a bit mask per group: bit n is set if some groups so far have n examples in total.

    Args:
        sizes: sizes of the groups, in order.
        most: the largest requested number of examples.
    """
    mask = ~0 if most is None else (2 << most) - 1
    return itertools.accumulate(
        map(int, sizes), lambda totals, size: (totals | totals << size) & mask, initial=1
    )


def _take(pool: np.ndarray, groups: np.ndarray, count: int, seed: int) -> np.ndarray:
    """Samples whole groups with exactly `count` examples; returns the rows."""
    rows = np.flatnonzero(pool)
    names, group_of, sizes = np.unique(groups[rows], return_inverse=True, return_counts=True)
    order = sorted(range(len(names)), key=lambda place: _digest(seed, str(names[place])))
    *before, totals = _totals(sizes[order], count)
    if not totals >> count & 1:
        raise ValueError(
            f"no set of whole groups has {count} of the {len(rows)} examples: choose another share"
        )
    taken, left = np.zeros(len(names), bool), count
    for place, without_it in zip(reversed(order), reversed(before), strict=True):
        if not without_it >> left & 1:
            taken[place] = True
            left -= int(sizes[place])
    return rows[taken[group_of]]


def _digest(seed: int, group: str) -> bytes:
    """Returns a sorting key of a group that only depends on the seed and the group's name."""
    return hashlib.sha256(f"{seed}/{group}".encode()).digest()


def _counted(names: np.ndarray) -> str:
    found = zip(*np.unique(names, return_counts=True), strict=True)
    return ", ".join(f"{name} ({count:,})" for name, count in found)
