"""Labels and predictions in the forms metrics need: all classes, one against the rest, sets.

With `weights`, the number of times each resample drew each example, all resamples are computed at
once; scikit-learn handles one at a time, which takes minutes for thousands.
"""

import dataclasses
import functools

import numpy as np

# Lower limit of probabilities, as in scikit-learn's log_loss.
EPSILON = np.finfo(np.float64).eps


@dataclasses.dataclass(frozen=True)
class Binary:
    """One class against the rest.

    Attributes:
        labels: `[examples] bool`, whether an example belongs to the class.
        predicted: `[examples] bool`, whether it was predicted as the class.
        scores: `[examples] float`, the probability of the class.
        weights: `[resamples, examples] float`; None: each example once.
    """

    labels: np.ndarray
    predicted: np.ndarray
    scores: np.ndarray
    weights: np.ndarray | None = None

    @functools.cached_property
    def counts(self) -> np.ndarray:
        """Returns TN, FP, FN, TP: `[4(, resamples)]`."""
        cells = np.eye(4)[2 * self.labels + self.predicted]
        return cells.sum(axis=0) if self.weights is None else (self.weights @ cells).T

    @functools.cached_property
    def areas(self) -> tuple[np.ndarray, np.ndarray]:
        """Returns AUROC and average precision of each resample, `[resamples]` each."""
        order = np.argsort(-self.scores, kind="stable")
        starts = np.flatnonzero(np.diff(self.scores[order], prepend=np.inf))
        ordered, labels = self.weights[:, order], self.labels[order]
        # Sums over examples of equal score, from the highest score down.
        positives = np.add.reduceat(ordered * labels, starts, axis=1)
        negatives = np.add.reduceat(ordered * ~labels, starts, axis=1)
        above = positives.cumsum(axis=1)
        predicted = above + negatives.cumsum(axis=1)
        # A negative is outranked by every positive above it, and by half of those tied with it.
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
        """Number of classes, including those that do not occur."""
        return self.probabilities.shape[1]

    @functools.cached_property
    def predicted(self) -> np.ndarray:
        """`[examples] int`, the most probable classes."""
        return self.probabilities.argmax(axis=1)

    @property
    def right(self) -> np.ndarray:
        """`[examples] bool`, whether the prediction is correct."""
        return self.predicted == self.labels

    def one_against_rest(self, index: int) -> Binary:
        """Returns the binary task of one class against the rest."""
        return Binary(
            self.labels == index,
            self.predicted == index,
            self.probabilities[:, index],
            self.weights,
        )

    @functools.cached_property
    def confusion(self) -> np.ndarray:
        """Returns `[resamples, true, predicted] float`, shares of each resample's weight."""
        size = self.num_classes
        cells = np.eye(size**2)[self.labels * size + self.predicted]
        counts = (self.weights @ cells).reshape(-1, size, size)
        return counts / counts.sum(axis=(1, 2), keepdims=True)

    @property
    def hits(self) -> np.ndarray:
        """Returns `[resamples, classes] float`, the recall of each class."""
        return np.diagonal(self.confusion, axis1=1, axis2=2)

    @property
    def marginals(self) -> tuple[np.ndarray, np.ndarray]:
        """Returns shares of true and of predicted classes, `[resamples, classes] float` each."""
        return self.confusion.sum(axis=2), self.confusion.sum(axis=1)

    def mean(self, values: np.ndarray) -> np.ndarray:
        """Returns the mean of `[examples] float` in each resample."""
        return weighted_mean(self.weights, values)


@dataclasses.dataclass(frozen=True)
class Sets:
    """Prediction sets instead of one predicted class.

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
        """`[examples] int`, the number of classes in the set."""
        return self.members.sum(axis=1)


def weighted_mean(weights: np.ndarray, values: np.ndarray) -> np.ndarray:
    """Computes the mean in each resample.

    Args:
        weights: `[resamples, examples] float`.
        values: `[examples] float`.

    Returns:
        `[resamples] float`.
    """
    return (weights @ values[:, None] / weights.sum(axis=1, keepdims=True))[:, 0]
