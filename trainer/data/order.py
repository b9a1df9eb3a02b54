"""The order of the examples in an epoch: a permutation computed by a function, without a list."""

import numpy as np
import tensorflow as tf

from trainer.data.augment import scramble

_ROUNDS = 8


def positions(rows: tf.Tensor, size: int, seed: int | None, epoch: tf.Tensor) -> tf.Tensor:
    """Returns the examples at some places of an epoch.

    The permutation is a block cipher of the place, keyed by seed and epoch, with cycle walking
    (TensorFlow's RandomIndexShuffle), so reading can start anywhere.

    Args:
        rows: `[rows] int64`, places in the epoch. Places beyond its end pad the last batch.
        size: number of examples.
        seed: seed of the order; None keeps the order of the files.
        epoch: scalar int64.

    Returns:
        `[rows] int64`, positions in the order of the files.
    """
    if seed is None or size < 2:
        return rows % size
    key = scramble(scramble(tf.constant(seed, tf.uint64)) + tf.cast(epoch, tf.uint64))
    # With keys that differ in a few bits the cipher is not uniform; these differ in half of them.
    keys = scramble(key + np.arange(3, dtype=np.uint64))
    shuffled = tf.raw_ops.RandomIndexShuffle(
        index=rows % size, seed=keys, max_index=tf.constant(size - 1, tf.int64), rounds=_ROUNDS
    )
    return tf.where(rows < size, shuffled, rows % size)
