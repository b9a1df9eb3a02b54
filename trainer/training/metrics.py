"""Sums over all examples, kept on each replica and added up only when they are read.

All sums are integers, the loss in units of 2**-24. Adding integers is exact in any order, so the
sums depend neither on the number of replicas nor on where a pass was interrupted.
"""

import numpy as np
import tensorflow as tf

# A loss is rounded to 6e-8, as fine as float32 is at 1; the sum may reach 5e11.
_LOSS_UNIT = 2.0**-24


class Totals:
    """Running sums of one pass over a split.

    Every replica adds to its own sums without talking to the others; reading adds the replicas'
    sums up. A row of weight 0 counts nowhere.
    """

    def __init__(self, strategy: tf.distribute.Strategy, num_classes: int) -> None:
        """Creates the sums, all zero, on every replica."""
        self._classes = num_classes
        with strategy.scope():
            # Loss, examples whose loss is not finite, microseconds waited, confusion matrix.
            self._sums = tf.Variable(
                tf.zeros([3 + num_classes**2], tf.int64),
                trainable=False,
                synchronization=tf.VariableSynchronization.ON_READ,
                aggregation=tf.VariableAggregation.SUM,
            )

    def add(
        self, *, losses: tf.Tensor, logits: tf.Tensor, batch: dict, waited: tf.Tensor
    ) -> tf.Tensor:
        """Adds one replica's batch. Called in replica context.

        Args:
            losses: `[batch] float32`, the loss of each example.
            logits: `[batch, classes] float32`.
            batch: its `label` `[batch] int64` and `weight` `[batch] float32` are used.
            waited: seconds for which the replica stood waiting for the batch.

        Returns:
            How many of the examples have a loss that is not finite, a float32 scalar.
        """
        counts = tf.cast(batch["weight"] > 0, tf.int64)
        is_finite = tf.math.is_finite(losses)
        exact = tf.where(is_finite, tf.cast(losses, tf.float64), 0.0) / _LOSS_UNIT
        loss = tf.reduce_sum(tf.cast(tf.round(exact), tf.int64) * counts)
        not_finite = tf.reduce_sum(counts * tf.cast(~is_finite, tf.int64))
        predicted = tf.argmax(logits, axis=1)
        cells = tf.one_hot(batch["label"] * self._classes + predicted, self._classes**2)
        confusion = tf.reduce_sum(tf.cast(cells, tf.int64) * counts[:, None], axis=0)
        microseconds = tf.cast(waited * 1e6, tf.int64)
        head = tf.stack([loss, not_finite, microseconds])
        self._sums.assign_add(tf.concat([head, confusion], axis=0))
        return tf.cast(not_finite, tf.float32)

    def read(self) -> np.ndarray:
        """The sums over all replicas, `int64`; `measure` tells what they mean."""
        return tf.convert_to_tensor(self._sums).numpy()

    def reset(self) -> None:
        """Begins a new pass."""
        self._sums.assign(tf.zeros_like(self._sums))


def measure(sums: np.ndarray) -> dict[str, float | np.ndarray]:
    """Turns sums into metrics.

    Args:
        sums: what `Totals.read` gave, or the difference or sum of two such arrays.

    Returns:
        `loss` (mean over examples; NaN if one was not finite), `accuracy` (0 to 1), `examples`,
        `waited` (seconds, summed over replicas), `confusion` (`[true, predicted] int64`) and
        `recall` (`[classes] float64`, NaN for a class without examples).
    """
    loss, not_finite, microseconds = sums[:3].tolist()
    classes = round((len(sums) - 3) ** 0.5)
    confusion = sums[3:].reshape(classes, classes)
    examples = int(confusion.sum())
    with np.errstate(invalid="ignore"):
        recall = confusion.diagonal() / confusion.sum(axis=1)
    return {
        "loss": float("nan") if not_finite else loss * _LOSS_UNIT / examples,
        "accuracy": float(confusion.trace()) / examples,
        "examples": examples,
        "waited": microseconds / 1e6,
        "confusion": confusion,
        "recall": recall,
    }
