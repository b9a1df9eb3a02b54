"""Gathers a few numbers from all workers."""

from collections.abc import Sequence

import numpy as np
import tensorflow as tf


def gather(strategy: tf.distribute.Strategy, own: Sequence[int]) -> np.ndarray:
    """Gathers numbers from all workers; every worker has to call it.

    Args:
        strategy: the strategy shared by all workers.
        own: this worker's numbers.

    Returns:
        `[workers, numbers] int64`, in the order of the workers.
    """
    row = tf.constant([own], tf.int64)

    def all_rows() -> tf.Tensor:
        return tf.distribute.get_replica_context().all_gather(row, axis=0)

    # One row per replica; the rows of a worker are adjacent and identical.
    rows = strategy.experimental_local_results(strategy.run(all_rows))[0].numpy()
    return rows[:: len(strategy.extended.worker_devices)]
