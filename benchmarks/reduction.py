"""What the replicas sum in a step, and the seconds that it takes by the rates of their links."""

import keras
import tensorflow as tf

from trainer.training.step import NUM_SIGNALS
from trainer.training.vectors import count_trained, pack_model


def reduced_bytes(model: keras.Model, precision: str = "float32") -> list[int]:
    """Bytes of the vectors that the engine sums over the replicas in a step, each in a collective.

    Args:
        model: a network; what of it is trained counts.
        precision: dtype in which gradients are summed.

    Returns:
        Of one vector of gradients, moving statistics of BatchNormalization layers that are trained,
        and signals; or of two, the gradients last, if these have a dtype of their own.
    """
    packings = pack_model(model)
    gradients = count_trained(packings)
    others = NUM_SIGNALS + packings.statistics.size
    kept, summed = tf.as_dtype(packings.decayed.dtype), tf.as_dtype(precision)
    if summed == kept:
        return [kept.size * (others + gradients)]
    return [kept.size * others, summed.size * gradients]


def ring_bytes(reduced: int, gpus: int) -> float:
    """Bytes that each GPU sends, and receives, to sum `reduced` bytes over all."""
    return 2 * (gpus - 1) / gpus * reduced


def reduction_seconds(
    reduced: int, gpus: int, *, gpus_per_node: int, nvlink: float, nic: float, latency: float
) -> float:
    """Seconds of a ring over all GPUs.

    Args:
        reduced: bytes to be summed, of one vector.
        gpus: number of GPUs.
        gpus_per_node: how many share a node.
        nvlink: bytes a second between the GPUs of a node.
        nic: bytes a second between two nodes.
        latency: seconds of a message.
    """
    slowest = nvlink if gpus <= gpus_per_node else min(nvlink, nic)
    return ring_bytes(reduced, gpus) / slowest + 2 * (gpus - 1) * latency


def efficiency(computing: float, reducing: float) -> float:
    """Share of a step's time in which GPUs compute, so images per second beside one GPU's."""
    return computing / (computing + reducing)
