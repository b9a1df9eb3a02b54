"""Measures the hardware's limits: matrix product, memory and all-reduce."""

import statistics
import time
from collections.abc import Callable

import tensorflow as tf

from trainer.hardware import Hardware

_ROUNDS = 5
# Rows of a square matrix, and MiB moved or summed, on a CPU and on a GPU (large enough to fill it).
_ROWS = {"CPU": 2048, "GPU": 8192}
_MIB = {"CPU": 128, "GPU": 1024}
_REPEATS = {"CPU": 4, "GPU": 50}


def matrix_product(devices: Hardware, rows: int | None = None) -> float:
    """Measures the FLOP/s of one replica in a product of square matrices, in the run's precision.

    Args:
        devices: devices, of which the first is measured.
        rows: size of the matrices; None: enough to fill the device.
    """
    kind = _kind(devices)
    rows, repeats = rows or _ROWS[kind], _REPEATS[kind]
    compute = tf.dtypes.as_dtype(devices.precision.removeprefix("mixed_"))
    with tf.device(devices.devices[0]):
        # The norm is about one, so that a chain of products neither overflows nor vanishes.
        factor = tf.cast(tf.random.normal([rows, rows]) / rows**0.5, compute)

        @tf.function
        def multiply() -> tf.Tensor:
            product = factor
            for _ in tf.range(repeats):
                product = product @ factor
            return product[0, 0]

        return 2 * rows**3 * repeats / _seconds(multiply)


def memory_bandwidth(devices: Hardware, mib: int | None = None) -> float:
    """Measures the bytes per second that one replica reads and writes in adding to an array.

    Args:
        devices: devices, of which the first is measured.
        mib: size of the array; None: larger than any cache.
    """
    kind = _kind(devices)
    mib, repeats = mib or _MIB[kind], _REPEATS[kind]
    with tf.device(devices.devices[0]):
        array = tf.zeros([mib * 2**18])

        @tf.function
        def add() -> tf.Tensor:
            total = array
            for _ in tf.range(repeats):
                total = total + 1.0
            return total[0]

        return 2 * mib * 2**20 * repeats / _seconds(add)


def all_reduce_bandwidth(devices: Hardware, mib: int = 64) -> float | None:
    """Measures the bytes of gradients per second that are summed over all replicas.

    Args:
        devices: the replicas.
        mib: size of the gradients per replica.

    Returns:
        The bandwidth; None for a single replica.
    """
    if devices.num_replicas == 1:
        return None
    repeats = _REPEATS[_kind(devices)]

    def reduce() -> tf.Tensor:
        total = tf.ones([mib * 2**18])
        for _ in range(repeats):  # Unrolled, as a collective must not depend on a condition.
            context = tf.distribute.get_replica_context()
            total = context.all_reduce(tf.distribute.ReduceOp.MEAN, total)
        return total[0]

    @tf.function
    def all_reduce() -> tf.Tensor:
        return devices.strategy.experimental_local_results(devices.strategy.run(reduce))[0]

    return mib * 2**20 * repeats / _seconds(all_reduce)


def _seconds(work: Callable[[], tf.Tensor]) -> float:
    """Returns the median time of a call; reading the result waits for the device."""
    work().numpy()
    times = []
    for _ in range(_ROUNDS):
        started = time.perf_counter()
        work().numpy()
        times.append(time.perf_counter() - started)
    return statistics.median(times)


def _kind(devices: Hardware) -> str:
    return "GPU" if devices.has_gpus else "CPU"
