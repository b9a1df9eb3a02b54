"""Labels and predictions as a metric sees them: all classes, one against the rest, or sets.

With `weights`, which say how often each resample drew each example, all resamples are computed at
once; scikit-learn takes one at a time, which for thousands lasts minutes.
"""

import dataclasses
import functools

import numpy as np

# Probabilities are clipped to this, as scikit-learn's log_loss does.
EPSILON = np.finfo(np.float64).eps


@dataclasses.dataclass(frozen=True)
class Binary:
    """One class against the rest.

    Attributes:
        labels: `[examples] bool`, whether an example is of the class.
        predicted: `[examples] bool`, whether it was called so.
        scores: `[examples] float`, the probability of the class.
        weights: `[resamples, examples] float`; None: each example once.
    """

    labels: np.ndarray
    predicted: np.ndarray
    scores: np.ndarray
    weights: np.ndarray | None = None

    @functools.cached_property
    def counts(self) -> np.ndarray:
        """True negatives, false positives, false negatives, true positives: `[4(, resamples)]`."""
        cells = np.eye(4)[2 * self.labels + self.predicted]
        return cells.sum(axis=0) if self.weights is None else (self.weights @ cells).T

    @functools.cached_property
    def areas(self) -> tuple[np.ndarray, np.ndarray]:
        """Areas under the ROC curve and average precision of each resample, `[resamples]` each."""
        order = np.argsort(-self.scores, kind="stable")
        starts = np.flatnonzero(np.diff(self.scores[order], prepend=np.inf))
        ordered, labels = self.weights[:, order], self.labels[order]
        # Sums over the examples of equal score, from the highest score down.
        positives = np.add.reduceat(ordered * labels, starts, axis=1)
        negatives = np.add.reduceat(ordered * ~labels, starts, axis=1)
        above = positives.cumsum(axis=1)
        predicted = above + negatives.cumsum(axis=1)
        # A negative is outranked by every positive above it, and by half of those beside it.
        outranked = (negatives * (above - positives / 2)).sum(axis=1)
        auroc = outranked / (above[:, -1] * negatives.sum(axis=1))
        precision = above / np.maximum(predicted, EPSILON)
        return auroc, (positives * precision).sum(axis=1) / above[:, -1]


@dataclasses.dataclass(frozen=True)
class Multiclass:
    """All classes at once.

    Attributes:
        labels: `[examples] int`, the true classes.
        probabilities: `[examples, classes] float`, rows summing to 1.
        weights: `[resamples, examples] float`; None: each example once.
    """

    labels: np.ndarray
    probabilities: np.ndarray
    weights: np.ndarray | None = None

    @property
    def num_classes(self) -> int:
        """How many classes there are, whether they occur or not."""
        return self.probabilities.shape[1]

    @functools.cached_property
    def predicted(self) -> np.ndarray:
        """`[examples] int`, the most probable classes."""
        return self.probabilities.argmax(axis=1)

    @property
    def right(self) -> np.ndarray:
        """`[examples] bool`, whether the prediction is the true class."""
        return self.predicted == self.labels

    def one_against_rest(self, index: int) -> Binary:
        """The same about one class."""
        return Binary(
            self.labels == index,
            self.predicted == index,
            self.probabilities[:, index],
            self.weights,
        )

    @functools.cached_property
    def confusion(self) -> np.ndarray:
        """`[resamples, true, predicted] float`, shares of each resample's weight."""
        size = self.num_classes
        cells = np.eye(size**2)[self.labels * size + self.predicted]
        counts = (self.weights @ cells).reshape(-1, size, size)
        return counts / counts.sum(axis=(1, 2), keepdims=True)

    @property
    def hits(self) -> np.ndarray:
        """`[resamples, classes] float`, the share of each class that was recognised."""
        return np.diagonal(self.confusion, axis1=1, axis2=2)

    @property
    def marginals(self) -> tuple[np.ndarray, np.ndarray]:
        """Shares of the true and of the predicted classes, `[resamples, classes] float` each."""
        return self.confusion.sum(axis=2), self.confusion.sum(axis=1)

    def mean(self, values: np.ndarray) -> np.ndarray:
        """Mean of `[examples] float` in each resample."""
        return weighted_mean(self.weights, values)


@dataclasses.dataclass(frozen=True)
class Sets:
    """Sets of classes in place of one predicted class.

    Attributes:
        labels: `[examples] int`, the true classes.
        members: `[examples, classes] bool`, whether a class is in the set.
        weights: `[resamples, examples] float`; None: each example once.
    """

    labels: np.ndarray
    members: np.ndarray
    weights: np.ndarray | None = None

    @property
    def covered(self) -> np.ndarray:
        """`[examples] bool`, whether the true class is in the set."""
        return self.members[np.arange(len(self.labels)), self.labels]

    @property
    def sizes(self) -> np.ndarray:
        """`[examples] int`, how many classes are in the set."""
        return self.members.sum(axis=1)


def weighted_mean(weights: np.ndarray, values: np.ndarray) -> np.ndarray:
    """The mean in each resample.

    Args:
        weights: `[resamples, examples] float`.
        values: `[examples] float`.

    Returns:
        `[resamples] float`.
    """
    return (weights @ values[:, None] / weights.sum(axis=1, keepdims=True))[:, 0]
