"""The two kinds of devices that a test may run on: the processor or a GPU."""

import pytest
import tensorflow as tf

# The daily tests use the first, `pytest -m gpu` the second.
KINDS = ("cpu", pytest.param("gpu", marks=pytest.mark.gpu))
# MiB of each half of a GPU; leaves room for the processes of tests.
_MEMORY = 2048
_NO_GPU = "TensorFlow sees no GPU here; python -m trainer.doctor says why"


def split() -> None:
    """Creates two logical devices on the processor, and on the first GPU if there is one."""
    half = tf.config.LogicalDeviceConfiguration()
    tf.config.set_logical_device_configuration(
        tf.config.list_physical_devices("CPU")[0], [half] * 2
    )
    for gpu in tf.config.list_physical_devices("GPU")[:1]:
        half = tf.config.LogicalDeviceConfiguration(memory_limit=_MEMORY)
        tf.config.set_logical_device_configuration(gpu, [half] * 2)
        # TF32 multiplies float32 with ten bits, so a batch and its halves would differ.
        tf.config.experimental.enable_tensor_float_32_execution(False)


def skip_without_gpu(item: pytest.Item) -> None:
    """Skips a test that needs a GPU if there is none."""
    if item.get_closest_marker("gpu") and not tf.config.list_physical_devices("GPU"):
        pytest.skip(_NO_GPU)
