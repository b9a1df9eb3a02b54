"""The bootstrap's resamples: stratified by class, drawn by groups of duplicates, seeded.

A resample is kept as weights: how often each example was drawn. The predictions stay as they are,
so that a statistic of thousands of resamples is a few matrix products.
"""

import dataclasses
from collections.abc import Callable, Hashable, Iterator
from typing import TypeVar

import numpy as np

Key = TypeVar("Key", bound=Hashable)

# Weights held at once: 16 MB.
_WEIGHTS_AT_ONCE = 2**21


@dataclasses.dataclass(frozen=True)
class Resampling:
    """How resamples are drawn. Equal ones draw the same, so models can be compared in pairs.

    Attributes:
        labels: `[examples] int`, the strata. A group with several classes counts as the class of
            its first example.
        groups: `[examples]`, the same for all copies of a radiograph; None: each is its own.
        count: how many resamples.
        seed: of the draws.
    """

    labels: np.ndarray
    groups: np.ndarray | None
    count: int
    seed: int

    def weights(self) -> Iterator[np.ndarray]:
        """All resamples, some at a time.

        Yields:
            `[resamples, examples] float64`: how often each example was drawn. In each class as
            many groups are drawn, with replacement, as there are.
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
        """`[examples] int`, the number of each one's group."""
        if self.groups is None:
            return np.arange(len(self.labels))
        return np.unique(self.groups, return_inverse=True)[1]

    def without_strata(self) -> "Resampling":
        """The same, drawn without regard to class."""
        return dataclasses.replace(self, labels=np.zeros_like(self.labels))

    @property
    def all_independent(self) -> bool:
        """Whether every group is one example."""
        return self.independent_share == 1

    @property
    def independent_share(self) -> float:
        """The number of groups for each example: 1 where every example is its own group."""
        return 1.0 if self.groups is None else len(np.unique(self.groups)) / len(self.groups)

    def part(self, rows: np.ndarray) -> "Resampling":
        """The same for some of the examples.

        Args:
            rows: `[examples] bool` or positions.
        """
        groups = None if self.groups is None else self.groups[rows]
        return dataclasses.replace(self, labels=self.labels[rows], groups=groups)

    def samples(
        self, statistic: Callable[[np.ndarray], dict[Key, np.ndarray]]
    ) -> dict[Key, np.ndarray]:
        """Values of a statistic in every resample.

        Args:
            statistic: from weights to arrays `[resamples, ...]` by name or other key.

        Returns:
            The same arrays over all resamples.
        """
        parts = [statistic(weights) for weights in self.weights()]
        return {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}
