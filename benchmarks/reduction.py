"""The reduction in a step: bytes summed by the replicas, and its modelled duration."""

import keras
import tensorflow as tf

from trainer.training.step import NUM_SIGNALS
from trainer.training.vectors import count_trained, pack_model


def reduced_bytes(model: keras.Model, precision: str = "float32") -> list[int]:
    """Returns the sizes of the vectors that the engine sums in a step, one collective each.

    Args:
        model: a network; its trained weights count.
        precision: dtype in which gradients are summed.

    Returns:
        The size in bytes of one vector with gradients, moving statistics of trained
        BatchNormalization layers, and signals; or of two, the gradients last, if gradients have
        their own dtype.
    """
    packings = pack_model(model)
    gradients = count_trained(packings)
    others = NUM_SIGNALS + packings.statistics.size
    kept, summed = tf.as_dtype(packings.decayed.dtype), tf.as_dtype(precision)
    if summed == kept:
        return [kept.size * (others + gradients)]
    return [kept.size * others, summed.size * gradients]


def ring_bytes(reduced: int, gpus: int) -> float:
    """Returns the bytes that each GPU sends and receives to sum `reduced` bytes over all GPUs."""
    return 2 * (gpus - 1) / gpus * reduced


def reduction_seconds(
    reduced: int, gpus: int, *, gpus_per_node: int, nvlink: float, nic: float, latency: float
) -> float:
    """Returns the duration of a ring all-reduce over all GPUs.

    Args:
        reduced: size of the vector to sum, in bytes.
        gpus: number of GPUs.
        gpus_per_node: number of GPUs per node.
        nvlink: bytes per second between the GPUs of a node.
        nic: bytes per second between two nodes.
        latency: seconds per message.
    """
    slowest = nvlink if gpus <= gpus_per_node else min(nvlink, nic)
    return ring_bytes(reduced, gpus) / slowest + 2 * (gpus - 1) * latency


def efficiency(computing: float, reducing: float) -> float:
    """Returns the share of a step's time spent computing, the efficiency per GPU."""
    return computing / (computing + reducing)
