"""Compares a convolution and a reduction on the devices with NumPy."""

import time
from collections.abc import Sequence

import numpy as np
import tensorflow as tf

from trainer.diagnosis.finding import Finding, fault, ok

_DTYPES = {"float32": "float32", "mixed_bfloat16": "bfloat16", "mixed_float16": "float16"}
# Relative tolerance for a sum of 3 x 3 x 8 products.
_TOLERANCE = {"float32": 1e-3, "bfloat16": 0.05, "float16": 0.01}
_SIDE, _CHANNELS = 16, 8


def try_convolution(device: str, precision: str, xla: bool) -> Finding:
    """Runs a convolution forward and backward on one device and compares it with NumPy.

    Args:
        device: such as `/gpu:0`.
        precision: Keras dtype policy.
        xla: whether to compile it with XLA.

    Returns:
        The time taken, including compilation; or TensorFlow's error message, in one line.
    """
    subject, dtype = f"convolution on {device}", _DTYPES[precision]
    generator = np.random.default_rng(0)
    image = generator.normal(size=(1, _SIDE, _SIDE, _CHANNELS))
    kernel = generator.normal(size=(3, 3, _CHANNELS, _CHANNELS))

    @tf.function(jit_compile=xla)
    def convolve(image: tf.Tensor, kernel: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        with tf.GradientTape() as tape:
            tape.watch(kernel)
            output = tf.nn.conv2d(image, kernel, 1, "VALID")
        return output, tape.gradient(output, kernel)

    started = time.monotonic()
    told = f"{dtype}, XLA {'on' if xla else 'off'}"
    try:
        with tf.device(device):
            output, gradient = convolve(tf.cast(image, dtype), tf.cast(kernel, dtype))
            found = [tf.cast(tensor, tf.float64).numpy() for tensor in (output, gradient)]
    except tf.errors.OpError as error:
        return fault(subject, f"{told}: {_line(error)}", "fix the faults above")
    worst = max(
        np.abs(one - other).max() / np.abs(other).max()
        for one, other in zip(found, _by_numpy(image, kernel), strict=True)
    )
    if not worst < _TOLERANCE[dtype]:
        return fault(
            subject, f"{told}: off by {worst:.1e} of the largest value",
            "the GPU or its libraries give wrong results: do not train with them",
        )  # fmt: skip
    seconds = time.monotonic() - started
    return ok(subject, f"{told}: correct to {worst:.0e}, {seconds:.1f} seconds")


def try_reduction(devices: Sequence[str]) -> Finding:
    """Sums a vector over all devices, like the engine, and compares it with NumPy.

    Args:
        devices: such as `["/gpu:0", "/gpu:1"]`.

    Returns:
        Whether every device has the correct sum; or TensorFlow's error message.
    """
    subject, count = "sum over devices", len(devices)
    strategy = tf.distribute.MirroredStrategy(list(devices))

    @tf.function
    def reduce() -> tf.Tensor:
        def share() -> tf.Tensor:
            context = tf.distribute.get_replica_context()
            place = tf.cast(context.replica_id_in_sync_group, tf.float32)
            return context.all_reduce(tf.distribute.ReduceOp.SUM, tf.range(1000.0) * (place + 1))

        return strategy.run(share)

    try:
        sums = [one.numpy() for one in strategy.experimental_local_results(reduce())]
    except tf.errors.OpError as error:
        return fault(subject, _line(error), "NCCL_DEBUG=INFO shows what NCCL tries")
    right = np.arange(1000.0) * count * (count + 1) / 2
    if any(not np.allclose(one, right) for one in sums):
        return fault(subject, f"wrong on {count} devices", "do not train with --strategy=mirrored")
    return ok(subject, f"right on {count} device{'s' if count > 1 else ''}")


def _by_numpy(image: np.ndarray, kernel: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Returns the output of the convolution, and the gradient of its sum for the kernel."""
    windows = np.lib.stride_tricks.sliding_window_view(image[0], (3, 3), axis=(0, 1))
    output = np.einsum("hwcij,ijco->hwo", windows, kernel)[None]
    gradient = np.einsum("hwcij->ijc", windows)[..., None] * np.ones(kernel.shape[-1])
    return output, gradient


def _line(error: tf.errors.OpError) -> str:
    return (error.message or type(error).__name__).partition("\n")[0]
