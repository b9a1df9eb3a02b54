"""Enlarging of heatmaps to the size of their radiographs."""

import numpy as np
import tensorflow as tf


def enlarge(heatmap: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """Enlarges a heatmap bilinearly to the image's size and scales its maximum to 1.

    Args:
        heatmap: `[h, w] float32`, non-negative.
        size: `(height, width)` of the image.

    Returns:
        `[height, width] float32` from 0 to 1; all 0 if the heatmap is all 0.
    """
    large = tf.image.resize(heatmap[:, :, None], size, method="bilinear").numpy()[:, :, 0]
    return large / large.max() if large.max() > 0 else large
