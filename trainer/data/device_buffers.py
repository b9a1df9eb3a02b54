"""Keeps the threads of TensorFlow's per-device buffers from delaying the end of a run.

tf.distribute adds a small dataset with a prefetch buffer in front of each device, with tf.data's
autotuner enabled although there is nothing to tune. Closing such a dataset wakes the autotuner's
thread just before marking it as cancelled, so the thread often goes back to sleep, for up to a
minute per buffer. There is no public setting for these datasets.
"""

import functools
from typing import Any

import tensorflow as tf
from tensorflow.python.data.ops import multi_device_iterator_ops


@functools.cache
def disable_autotuner() -> None:
    """Disables the autotuner in the per-device buffers of CPUs, for this process.

    GPU buffers are unaffected, because the operation that carries the setting only exists for CPUs.
    """
    create = getattr(multi_device_iterator_ops, "_create_device_dataset", None)
    if create is None or tf.config.list_physical_devices("GPU"):
        return

    def create_without_autotuner(*args: Any, **kwargs: Any) -> tf.data.Dataset:
        options = tf.data.Options()
        options.autotune.enabled = False
        return create(*args, **kwargs).with_options(options)

    multi_device_iterator_ops._create_device_dataset = create_without_autotuner
