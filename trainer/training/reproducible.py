"""What a training's random numbers and operations depend on, and what it leaves of that behind."""

import contextlib
import gc
from collections.abc import Iterator

import keras
import tensorflow as tf

# TensorFlow 2.21 exports the function that switches determinism on, but not its opposite.
from tensorflow.python.framework.config import disable_op_determinism, is_op_determinism_enabled


@contextlib.contextmanager
def reproducible(seed: int, *, deterministic: bool) -> Iterator[None]:
    """While open, a training computes what it would in a process of its own.

    Args:
        seed: of Python, NumPy and Keras.
        deterministic: whether TensorFlow's operations are made deterministic. Afterwards they are
            what they were, as XLA cannot compile all of them for GPUs that way.
    """
    gc.collect()  # The memory of an earlier training; functions that know each other hold it.
    keras.utils.set_random_seed(seed)
    was_deterministic = is_op_determinism_enabled()
    if deterministic:
        tf.config.experimental.enable_op_determinism()
    try:
        yield
    finally:
        if not was_deterministic:
            disable_op_determinism()
