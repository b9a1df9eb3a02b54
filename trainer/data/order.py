"""The order of the examples in an epoch: a permutation that is a function, and no list."""

import numpy as np
import tensorflow as tf

from trainer.data.augment import scramble

_ROUNDS = 8


def positions(rows: tf.Tensor, size: int, seed: int | None, epoch: tf.Tensor) -> tf.Tensor:
    """The examples that stand in some places of an epoch.

    The permutation of all examples is a block cipher of the place, keyed by seed and epoch, with
    cycle walking (TensorFlow's RandomIndexShuffle): whoever knows them can begin anywhere.

    Args:
        rows: `[rows] int64`, places in the epoch. What lies behind its end fills the last batch.
        size: number of examples.
        seed: of the order; None keeps the order of the files.
        epoch: scalar int64.

    Returns:
        `[rows] int64`, positions in the order of the files.
    """
    if seed is None or size < 2:
        return rows % size
    key = scramble(scramble(tf.constant(seed, tf.uint64)) + tf.cast(epoch, tf.uint64))
    # The cipher of keys that differ in a few bits is not uniform: these differ in half of them.
    keys = scramble(key + np.arange(3, dtype=np.uint64))
    shuffled = tf.raw_ops.RandomIndexShuffle(
        index=rows % size, seed=keys, max_index=tf.constant(size - 1, tf.int64), rounds=_ROUNDS
    )
    return tf.where(rows < size, shuffled, rows % size)
