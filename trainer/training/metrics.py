"""Sums over all examples, kept on each replica and added up only when they are read.

All sums are integers, the loss in whole numbers and units of 2**-32. Adding integers is exact in
any order: the sums depend neither on the number of replicas nor on where a pass was interrupted.
"""

import dataclasses

import numpy as np
import tensorflow as tf

_LOSS_UNIT = 2.0**-32
# A loss beyond this counts as not finite; millions of examples below it do not overflow the sum.
_LARGEST_LOSS = 1e12
# Before the confusion matrix: whole losses, fractions of losses, losses that are not finite,
# microseconds waited.
_NOT_FINITE, _WAITED, _HEAD = 2, 3, 4


@dataclasses.dataclass(frozen=True)
class Metrics:
    """Metrics of a set of examples.

    Attributes:
        loss: mean over the examples; NaN if one was not finite.
        accuracy: 0 to 1.
        examples: how many there are.
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

    Every replica adds to its own sums without talking to the others; reading adds the replicas'
    sums up. A row of weight 0 counts nowhere.
    """

    def __init__(self, strategy: tf.distribute.Strategy, num_classes: int) -> None:
        """Creates the sums, all zero, on every replica."""
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
            sums: what `count` gave for it.
            waited: microseconds for which the replica stood waiting for it, an int64 scalar.
        """
        self._sums.assign_add(tf.tensor_scatter_nd_add(sums, [[_WAITED]], [waited]))

    def read(self) -> np.ndarray:
        """The sums over all replicas, `int64`; `measure` tells what they mean."""
        return tf.convert_to_tensor(self._sums).numpy()

    def reset(self) -> None:
        """Begins a new pass."""
        self._sums.assign(tf.zeros_like(self._sums))


def empty_sums(num_classes: int) -> tf.Tensor:
    """The sums of no example, `[sums] int64`."""
    return tf.zeros([_HEAD + num_classes**2], tf.int64)


def count(losses: tf.Tensor, logits: tf.Tensor, batch: dict) -> tf.Tensor:
    """The sums of one replica's batch, as a function of tensors alone.

    Args:
        losses: `[batch] float32`, the loss of each example.
        logits: `[batch, classes] float32`.
        batch: its `label` `[batch] int64` and `weight` `[batch] float32` are used.

    Returns:
        `[sums] int64`, without a wait; `measure` tells what they mean.
    """
    classes = logits.shape[-1]
    counts = tf.cast(batch["weight"] > 0, tf.int64)
    is_finite = tf.abs(losses) < _LARGEST_LOSS  # False for NaN too.
    finite = tf.where(is_finite, losses, tf.zeros_like(losses))
    # Exact in the losses' own dtype, by Sterbenz' lemma and because the unit is a power of two.
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
    """Of such sums, how many examples had a loss that is not finite; an int64 scalar."""
    return sums[_NOT_FINITE]


def measure(sums: np.ndarray) -> Metrics:
    """Turns sums into metrics.

    Args:
        sums: what `Totals.read` gave, or the difference or sum of two such arrays.
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
