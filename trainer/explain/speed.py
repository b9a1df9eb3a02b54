"""Measures the throughput of a method."""

import time

import numpy as np

from trainer.explain.methods import Method

BATCHES = (1, 32)
_SECONDS = 1.0


def images_per_second(explain: Method, image: np.ndarray) -> dict[str, float]:
    """Measures the throughput of a method after compilation.

    Args:
        explain: the method of a model.
        image: `[H, W, 1] uint8`, explained repeatedly.

    Returns:
        Images per second by batch size, which is a string as in JSON.
    """
    return {str(size): _measure(explain, np.stack([image] * size)) for size in BATCHES}


def _measure(explain: Method, batch: np.ndarray) -> float:
    explain(batch)
    start, done = time.perf_counter(), 0
    while done == 0 or time.perf_counter() - start < _SECONDS:
        explain(batch)
        done += len(batch)
    return round(done / (time.perf_counter() - start), 2)
