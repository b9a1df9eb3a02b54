"""Sums over replicas that leave nothing behind."""

from collections.abc import Sequence
from typing import Any

import tensorflow as tf


def sum_over_replicas(values: Sequence[tf.Tensor]) -> list[tf.Tensor]:
    """Sums tensors over all replicas of the current replica context.

    `ReplicaContext.all_reduce` does the same, but registers a gradient that TensorFlow never
    removes: the graph, and every variable that it captures, would outlive the engine.

    Args:
        values: this replica's tensors, of the same shapes on all replicas.

    Returns:
        The sums, by one collective each: tensors of different dtypes cannot share one.
    """
    context = tf.distribute.get_replica_context()
    return [context.merge_call(_summed, args=(value,)) for value in values]


def _summed(strategy: tf.distribute.Strategy, value: Any) -> tf.Tensor:
    destination = value.device if isinstance(value, tf.Tensor) else value
    pairs = [(value, destination)]
    return strategy.extended.batch_reduce_to(tf.distribute.ReduceOp.SUM, pairs)[0]
