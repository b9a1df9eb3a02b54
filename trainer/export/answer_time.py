"""Measures the latency of a SavedModel."""

import pathlib
import time
from collections.abc import Callable
from typing import Any

import numpy as np
import tensorflow as tf

from trainer.export.literal_path import literal_path

_BATCH = 32
_REPEATS = 5
# Size of a published radiograph.
_SIZE = (299, 299, 1)


def answer_time(directory: pathlib.Path) -> dict[str, Any]:
    """Measures `serving_default` on PNG bytes, including decoding, after a warm-up.

    Args:
        directory: directory of the SavedModel.

    Returns:
        `milliseconds_for_one`, the median, and `images_per_second_of_32`.
    """
    # The loaded object must stay alive during the calls, as the function does not reference it.
    with literal_path(directory) as literal:
        loaded = tf.saved_model.load(literal)
    serve = loaded.signatures["serving_default"]
    noise = np.random.default_rng(0).integers(0, 256, _SIZE).astype(np.uint8)
    encoded = tf.io.encode_png(noise)
    return {
        "milliseconds_for_one": round(1000 * _median_seconds(serve, encoded, 1), 2),
        "images_per_second_of_32": round(_BATCH / _median_seconds(serve, encoded, _BATCH), 2),
    }


def _median_seconds(
    serve: Callable[..., dict[str, tf.Tensor]], encoded: tf.Tensor, size: int
) -> float:
    batch = tf.fill([size], encoded)
    serve(image_bytes=batch)
    seconds = []
    for _ in range(_REPEATS):
        start = time.perf_counter()
        serve(image_bytes=batch)["probabilities"].numpy()
        seconds.append(time.perf_counter() - start)
    return float(np.median(seconds))
