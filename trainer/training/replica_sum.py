"""Sums over replicas that leave nothing behind."""

from collections.abc import Sequence

import tensorflow as tf


def sum_over_replicas(values: Sequence[tf.Tensor]) -> list[tf.Tensor]:
    """Sums tensors over all replicas of the current replica context, in one collective.

    `ReplicaContext.all_reduce` does the same, but registers a gradient that TensorFlow never
    removes: the graph, and every variable that it captures, would outlive the engine.

    Args:
        values: this replica's tensors, of one dtype, of the same shapes on all replicas.

    Returns:
        The sums.
    """
    return tf.distribute.get_replica_context().merge_call(_summed, args=tuple(values))


def _summed(
    strategy: tf.distribute.Strategy, *values: tf.Tensor | tf.distribute.DistributedValues
) -> list[tf.Tensor]:
    # Under a strategy of one device, a value is a tensor, and no destination.
    pairs = [(one, one.device if isinstance(one, tf.Tensor) else one) for one in values]
    return strategy.extended.batch_reduce_to(tf.distribute.ReduceOp.SUM, pairs)
