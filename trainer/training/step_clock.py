"""Times at which the steps of an engine call begin and end, read in the graph."""

from collections.abc import Mapping, Sequence

import numpy as np
import tensorflow as tf

from trainer.data.input import LOADED_AT, read_clock

_MICROSECONDS = 1e6


def read(batch: Mapping, after: Sequence[tf.Tensor] = ()) -> tf.Tensor:
    """Reads the time at which tensors are computed, in microseconds; 0 if batches are not timed.

    GPUs run asynchronously. The clock is read on the host, to which a tensor is only available once
    the GPU has computed it, so this is the time of the result, not of the launch.

    Args:
        batch: a batch, or the specification of one.
        after: the tensors to wait for.

    Returns:
        An int64 scalar.
    """
    if LOADED_AT not in batch:
        return tf.constant(0, tf.int64)
    with tf.device("/cpu:0"):  # On a GPU it would queue behind the next step's operations.
        return read_clock(after)


def waited(batch: Mapping, idle_from: tf.Tensor) -> tf.Tensor:
    """Returns the microseconds from the end of the previous step to the loading of a batch.

    The loading time is read by the thread that loads: an operation that reads the clock when the
    batch arrives would itself queue behind the replicas, which use all processors, or behind a
    GPU's stream.
    """
    return tf.nn.relu(batch.get(LOADED_AT, idle_from) - idle_from)


def step_seconds(clocks: np.ndarray, ready: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Computes the durations of steps.

    Args:
        clocks: `[steps + 1] int64` from `read`, at the start of the call and at the end of each
            step.
        ready: `[steps] int64` from `read`, when this worker's gradients were ready to be summed.

    Returns:
        Two arrays `[steps] float64`, in seconds, from the end of the previous step: until the end
        of each step, and until its gradients were ready. Empty if steps are not timed.
    """
    if not clocks.any():
        return np.zeros(0), np.zeros(0)
    return np.diff(clocks) / _MICROSECONDS, (ready - clocks[:-1]) / _MICROSECONDS
