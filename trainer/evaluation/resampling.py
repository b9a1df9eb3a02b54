"""Bootstrap resamples: stratified by class, drawn by groups of duplicates, seeded.

A resample is stored as weights, the number of times that each example was drawn. A statistic of
thousands of resamples then takes only a few matrix products.
"""

import dataclasses
from collections.abc import Callable, Hashable, Iterator
from typing import TypeVar

import numpy as np

Key = TypeVar("Key", bound=Hashable)

# Maximum number of weights in memory: 16 MB.
_WEIGHTS_AT_ONCE = 2**21


@dataclasses.dataclass(frozen=True)
class Resampling:
    """Definition of the resamples; equal definitions draw the same, for paired comparisons.

    Attributes:
        labels: `[examples] int`, the strata. A group with several classes belongs to the class of
            its first example.
        groups: `[examples]`, equal for all copies of a radiograph; None: every example is a group.
        count: number of resamples.
        seed: random seed.
    """

    labels: np.ndarray
    groups: np.ndarray | None
    count: int
    seed: int

    def weights(self) -> Iterator[np.ndarray]:
        """Iterates over the resamples in chunks.

        Yields:
            `[resamples, examples] float64`: number of times each example was drawn. In each class,
            groups are drawn with replacement, as many as there are.
        """
        generator = np.random.default_rng(self.seed)
        groups = np.arange(len(self.labels)) if self.groups is None else self.groups
        _, first, group_of = np.unique(groups, return_index=True, return_inverse=True)
        class_of_group = self.labels[first]
        at_once = max(1, _WEIGHTS_AT_ONCE // len(self.labels))
        for start in range(0, self.count, at_once):
            size = min(at_once, self.count - start)
            drawn = np.zeros((size, len(first)))
            for label in np.unique(class_of_group):
                members = np.flatnonzero(class_of_group == label)
                even = np.full(len(members), 1 / len(members))
                drawn[:, members] = generator.multinomial(len(members), even, size=size)
            yield drawn[:, group_of]

    @property
    def group_of(self) -> np.ndarray:
        """`[examples] int`, the index of each example's group."""
        if self.groups is None:
            return np.arange(len(self.labels))
        return np.unique(self.groups, return_inverse=True)[1]

    def without_strata(self) -> "Resampling":
        """Returns the same resampling without stratification by class."""
        return dataclasses.replace(self, labels=np.zeros_like(self.labels))

    @property
    def all_independent(self) -> bool:
        """Whether every group is one example."""
        return self.independent_share == 1

    @property
    def independent_share(self) -> float:
        """Number of groups per example: 1 if every example is its own group."""
        return 1.0 if self.groups is None else len(np.unique(self.groups)) / len(self.groups)

    def part(self, rows: np.ndarray) -> "Resampling":
        """Returns the resampling of some of the examples.

        Args:
            rows: `[examples] bool`, or positions.
        """
        groups = None if self.groups is None else self.groups[rows]
        return dataclasses.replace(self, labels=self.labels[rows], groups=groups)

    def samples(
        self, statistic: Callable[[np.ndarray], dict[Key, np.ndarray]]
    ) -> dict[Key, np.ndarray]:
        """Computes a statistic in every resample.

        Args:
            statistic: maps weights to arrays `[resamples, ...]` by key, such as a name.

        Returns:
            The same arrays over all resamples.
        """
        parts = [statistic(weights) for weights in self.weights()]
        return {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}
