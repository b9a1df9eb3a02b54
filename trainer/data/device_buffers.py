"""Keeps the threads of TensorFlow's per-device buffers from holding up the end of a run.

tf.distribute puts a small dataset with a prefetch buffer in front of each device, and leaves the
autotuner of tf.data on in it, though nothing is there to tune. Closing such a dataset wakes the
autotuner's thread a moment before it is marked as cancelled, so that it often sleeps on, for up
to a minute each. There is no public setting for these datasets.
"""

import functools
from typing import Any

import tensorflow as tf
from tensorflow.python.data.ops import multi_device_iterator_ops


@functools.cache
def disable_autotuner() -> None:
    """Switches the autotuner off in the per-device buffers of CPUs, for this process.

    GPUs keep theirs, because the operation that carries the setting is made for CPUs alone.
    """
    create = getattr(multi_device_iterator_ops, "_create_device_dataset", None)
    if create is None or tf.config.list_physical_devices("GPU"):
        return

    def create_without_autotuner(*args: Any, **kwargs: Any) -> tf.data.Dataset:
        options = tf.data.Options()
        options.autotune.enabled = False
        return create(*args, **kwargs).with_options(options)

    multi_device_iterator_ops._create_device_dataset = create_without_autotuner
