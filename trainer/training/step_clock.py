"""When the steps of a call of the engine began and ended, read from the clock in the graph."""

from collections.abc import Mapping, Sequence

import numpy as np
import tensorflow as tf

from trainer.data.input import LOADED_AT, read_clock

_MICROSECONDS = 1e6


def read(batch: Mapping, after: Sequence[tf.Tensor] = ()) -> tf.Tensor:
    """The time at which tensors are known, in microseconds; 0 where batches are not timed.

    A GPU computes after it was told to. The clock is the host's, and the host takes a tensor for
    known once the GPU has computed it: so this is the time of the result, not of the request.

    Args:
        batch: a batch, or the specification of one.
        after: the tensors.

    Returns:
        An int64 scalar.
    """
    if LOADED_AT not in batch:
        return tf.constant(0, tf.int64)
    with tf.device("/cpu:0"):  # On a GPU it would queue behind the operations of the next step.
        return read_clock(after)


def waited(batch: Mapping, idle_from: tf.Tensor) -> tf.Tensor:
    """How long after the end of the step before it a batch was loaded, in microseconds.

    By the clock of the thread that loads: an operation that reads the clock when the batch arrives
    would itself queue behind the replicas, which take all processors, or behind a GPU's stream.
    """
    return tf.nn.relu(batch.get(LOADED_AT, idle_from) - idle_from)


def step_seconds(clocks: np.ndarray, ready: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """How long steps took.

    Args:
        clocks: `[steps + 1] int64` of `read`, when the call began and when each step ended.
        ready: `[steps] int64` of `read`, when this worker's gradients were ready to be summed.

    Returns:
        `[steps] float64` twice, in seconds: from the end of the step before until the end of each,
        and until the gradients were ready. Empty if steps are not timed.
    """
    if not clocks.any():
        return np.zeros(0), np.zeros(0)
    return np.diff(clocks) / _MICROSECONDS, (ready - clocks[:-1]) / _MICROSECONDS
