"""Random images for benchmarks without a dataset, without TensorFlow."""

import numpy as np

SHAPE = (224, 224, 1)


def random_images(count: int, shape: tuple[int, int, int] = SHAPE) -> tuple[np.ndarray, np.ndarray]:
    """Returns images, `[count, *shape] uint8`, and labels of four classes, `[count] int64`."""
    rng = np.random.default_rng(0)
    return rng.integers(0, 256, (count, *shape)).astype(np.uint8), rng.integers(0, 4, count)
