"""Isolation of a training's random numbers and determinism from the rest of the process."""

import contextlib
import gc
from collections.abc import Iterator

import keras
import tensorflow as tf

# TensorFlow 2.21 exports the function that enables determinism, but not its inverse.
from tensorflow.python.framework.config import disable_op_determinism, is_op_determinism_enabled


@contextlib.contextmanager
def reproducible(seed: int, *, deterministic: bool) -> Iterator[None]:
    """Makes a training compute the same as in a process of its own.

    Args:
        seed: seed of Python, NumPy and Keras.
        deterministic: whether TensorFlow's operations are made deterministic. The previous mode is
            restored afterwards, as XLA cannot compile all deterministic operations for GPUs.
    """
    gc.collect()  # Frees the memory of an earlier training; functions form cycles.
    keras.utils.set_random_seed(seed)
    was_deterministic = is_op_determinism_enabled()
    if deterministic:
        tf.config.experimental.enable_op_determinism()
    try:
        yield
    finally:
        if not was_deterministic:
            disable_op_determinism()
