"""Metric sums over examples, kept on each replica and added up only when read.

All sums are integers; the loss is split into whole numbers and units of 2**-32. Integer addition is
exact in any order, so the sums depend neither on the number of replicas nor on where a pass was
interrupted.
"""

import dataclasses

import numpy as np
import tensorflow as tf

_LOSS_UNIT = 2.0**-32
# A larger loss counts as not finite; millions of smaller ones do not overflow the sum.
_LARGEST_LOSS = 1e12
# Entries before the confusion matrix: whole losses, fractions of losses, number of losses that are
# not finite, microseconds waited.
_NOT_FINITE, _WAITED, _HEAD = 2, 3, 4


@dataclasses.dataclass(frozen=True)
class Metrics:
    """Metrics of a set of examples.

    Attributes:
        loss: mean over the examples; NaN if one was not finite.
        accuracy: 0 to 1.
        examples: number of examples.
        waited: seconds waited for input, summed over replicas.
        confusion: `[true, predicted] int64`.
        recall: `[classes] float64`, NaN for a class without examples.
    """

    loss: float
    accuracy: float
    examples: int
    waited: float
    confusion: np.ndarray
    recall: np.ndarray


class Totals:
    """Running sums of one pass over a split.

    Every replica adds to its own sums without communication; reading adds up the replicas' sums.
    Rows of weight 0 are ignored.
    """

    def __init__(self, strategy: tf.distribute.Strategy, num_classes: int) -> None:
        """Creates zero sums on every replica."""
        with strategy.scope():
            self._sums = tf.Variable(
                empty_sums(num_classes),
                trainable=False,
                synchronization=tf.VariableSynchronization.ON_READ,
                aggregation=tf.VariableAggregation.SUM,
            )

    def add(self, sums: tf.Tensor, waited: tf.Tensor) -> None:
        """Adds one replica's batch. Called in replica context.

        Args:
            sums: the result of `count` for the batch.
            waited: microseconds that the replica waited for the batch, an int64 scalar.
        """
        self._sums.assign_add(tf.tensor_scatter_nd_add(sums, [[_WAITED]], [waited]))

    def read(self) -> np.ndarray:
        """Returns the sums over all replicas, `int64`; `measure` interprets them."""
        return tf.convert_to_tensor(self._sums).numpy()

    def reset(self) -> None:
        """Resets the sums for a new pass."""
        self._sums.assign(tf.zeros_like(self._sums))


def empty_sums(num_classes: int) -> tf.Tensor:
    """Returns the sums of zero examples, `[sums] int64`."""
    return tf.zeros([_HEAD + num_classes**2], tf.int64)


def count(losses: tf.Tensor, logits: tf.Tensor, batch: dict) -> tf.Tensor:
    """Computes the sums of one replica's batch, as a pure function of tensors.

    Args:
        losses: `[batch] float32`, the loss of each example.
        logits: `[batch, classes] float32`.
        batch: its `label` `[batch] int64` and `weight` `[batch] float32` are used.

    Returns:
        `[sums] int64`, with no waiting time; `measure` interprets them.
    """
    classes = logits.shape[-1]
    counts = tf.cast(batch["weight"] > 0, tf.int64)
    is_finite = tf.abs(losses) < _LARGEST_LOSS  # False for NaN, too.
    finite = tf.where(is_finite, losses, tf.zeros_like(losses))
    # Exact in the losses' own dtype by Sterbenz' lemma, as the unit is a power of two.
    fractions = tf.round((finite - tf.floor(finite)) / _LOSS_UNIT)
    predicted = tf.argmax(logits, axis=1)
    cells = tf.one_hot(batch["label"] * classes + predicted, classes**2)
    confusion = tf.reduce_sum(tf.cast(cells, tf.int64) * counts[:, None], axis=0)
    head = [
        tf.reduce_sum(tf.cast(tf.floor(finite), tf.int64) * counts),
        tf.reduce_sum(tf.cast(fractions, tf.int64) * counts),
        tf.reduce_sum(counts * tf.cast(~is_finite, tf.int64)),
        tf.zeros([], tf.int64),
    ]
    return tf.concat([head, confusion], axis=0)


def count_not_finite(sums: tf.Tensor) -> tf.Tensor:
    """Returns the number of examples in the sums whose loss is not finite; an int64 scalar."""
    return sums[_NOT_FINITE]


def measure(sums: np.ndarray) -> Metrics:
    """Converts sums to metrics.

    Args:
        sums: the result of `Totals.read`, or the difference or sum of two such arrays.
    """
    whole, fractions, not_finite, microseconds = sums[:_HEAD].tolist()
    classes = round((len(sums) - _HEAD) ** 0.5)
    confusion = sums[_HEAD:].reshape(classes, classes)
    examples = int(confusion.sum())
    with np.errstate(invalid="ignore"):
        recall = confusion.diagonal() / confusion.sum(axis=1)
    return Metrics(
        loss=float("nan") if not_finite else (whole + fractions * _LOSS_UNIT) / examples,
        accuracy=float(confusion.trace()) / examples,
        examples=examples,
        waited=microseconds / 1e6,
        confusion=confusion,
        recall=recall,
    )
