"""Memory growth on GPUs."""

from collections.abc import Sequence

import tensorflow as tf
from absl import logging


def let_memory_grow(gpus: Sequence[tf.config.PhysicalDevice]) -> None:
    """Keeps TensorFlow from allocating all the memory of every GPU of the node.

    Args:
        gpus: all visible GPUs. If a notebook has used one already, the setting has no effect, which
            is logged.
    """
    for gpu in gpus:
        try:
            tf.config.experimental.set_memory_growth(gpu, True)
        except RuntimeError:
            logging.warning("TensorFlow has taken all GPU memory: it was used before trainer.api")
            return
