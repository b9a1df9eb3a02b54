"""Trains LeNet for a few steps, and prints the peak memory.

    python -m tests.support.peak_memory KIND BATCH_SIZE

Runs in its own process, because the peak is measured per process.
"""

import json
import pathlib
import sys

import keras
import numpy as np
import tensorflow as tf

from benchmarks.training import Training
from trainer import hardware

STEPS = 3


def peak(kind: str) -> int:
    """Returns the peak bytes of TensorFlow's allocator on the GPU, or of this process."""
    if kind == "gpu":
        return tf.config.experimental.get_memory_info("GPU:0")["peak"]
    # Not ru_maxrss, which starts at the size of the parent process.
    status = pathlib.Path("/proc/self/status").read_text()
    return int(status.split("VmHWM:")[1].split()[0]) * 1024


def expected(model: keras.Model, batch_size: int, precision: str) -> int:
    """Returns the bytes needed by an Adam step.

    Four float32 values per weight: itself, its gradient and two moments, with new copies before the
    old ones are freed. For every image, the output of each layer and its gradient.
    """
    outputs = sum(int(np.prod(layer.output.shape[1:])) for layer in model.layers)
    size = 4 if precision == "float32" else 2
    return 2 * 16 * model.count_params() + 2 * batch_size * outputs * size


def main(kind: str, batch_size: str) -> None:
    """Trains, and prints."""
    virtual = 1 if kind == "cpu" else 0
    placement = hardware.Placement("one_device", "auto", "auto", virtual, require_gpu=kind == "gpu")
    devices = hardware.resolve(placement)
    training = Training("lenet", devices, int(batch_size))
    # The rest of this process also uses host memory, but not a GPU's.
    before = peak(kind) if kind == "cpu" else 0
    training.train(STEPS)
    gpus = tf.config.list_physical_devices("GPU")
    print(json.dumps({
        "taken": peak(kind) - before,
        "expected": expected(training.model, int(batch_size), devices.precision),
        "grows": [tf.config.experimental.get_memory_growth(gpu) for gpu in gpus],
    }))  # fmt: skip


if __name__ == "__main__":
    main(*sys.argv[1:])
