"""From PNG bytes to the 224x224 gray pixels that networks see, with TensorFlow operations alone.

Whoever has to repeat this bit for bit, such as an exported model that takes PNG bytes, needs these
operations in this order and nothing else.
"""

import functools
from collections.abc import Callable

import numpy as np
from tensorflow_datasets.core.utils.lazy_imports_utils import tensorflow as tf

SIZE = 224


def decode_gray(encoded: "tf.Tensor") -> "tf.Tensor":
    """Decodes a PNG file to gray.

    libpng converts: colour becomes ITU-R 601 luma, transparency is dropped, 16-bit
    samples keep their upper 8 bits.

    Args:
      encoded: The file's bytes, a scalar string.

    Returns:
      `[height, width, 1] uint8`.
    """
    return tf.io.decode_png(encoded, channels=1, dtype=tf.uint8)


def resize(image: "tf.Tensor") -> "tf.Tensor":
    """Resizes a radiograph bilinearly, with antialiasing, disregarding the aspect ratio.

    Args:
      image: `[height, width, 1] uint8`.

    Returns:
      `[224, 224, 1] uint8`.
    """
    resized = tf.image.resize(image, (SIZE, SIZE), method="bilinear", antialias=True)
    return tf.cast(tf.clip_by_value(tf.round(resized), 0.0, 255.0), tf.uint8)


def resize_mask(mask: "tf.Tensor") -> "tf.Tensor":
    """Resizes a lung mask: a pixel is lung where at least half of what it covers is lung.

    Args:
      mask: `[height, width, 1] uint8`, 255 in the lungs and 0 elsewhere.

    Returns:
      `[224, 224, 1] uint8`, 1 in the lungs and 0 elsewhere.
    """
    covered = tf.image.resize(mask, (SIZE, SIZE), method="area")
    return tf.cast(covered >= 127.5, tf.uint8)


def resize_pair(image: np.ndarray, mask: np.ndarray | None) -> tuple[np.ndarray, np.ndarray]:
    """Resizes a radiograph and its lung mask; may be called from many threads at once.

    Args:
      image: `[height, width] uint8`.
      mask: `[height, width] uint8`, 255 in the lungs and 0 elsewhere, or None.

    Returns:
      The image and the mask, both `[224, 224, 1] uint8`; the mask is 1 in the lungs, and all zero
      if there is none.
    """
    small_image = _compiled(resize)(image[..., None]).numpy()
    if mask is None:
        return small_image, np.zeros_like(small_image)
    return small_image, _compiled(resize_mask)(mask[..., None]).numpy()


@functools.cache
def _compiled(function: Callable) -> Callable:
    return tf.function(function, input_signature=[tf.TensorSpec((None, None, 1), tf.uint8)])


def read_pair(image: "tf.Tensor", mask: "tf.Tensor") -> tuple["tf.Tensor", "tf.Tensor"]:
    """Reads, decodes and resizes one radiograph.

    Args:
      image: Path of the PNG file.
      mask: Path of the PNG file of its lung mask, "" if there is none.

    Returns:
      The image and the mask, both `[224, 224, 1] uint8`; the mask is all zero if there is none.
    """
    return resize(decode_gray(tf.io.read_file(image))), tf.cond(
        tf.equal(mask, ""),
        lambda: tf.zeros((SIZE, SIZE, 1), tf.uint8),
        lambda: resize_mask(decode_gray(tf.io.read_file(mask))),
    )
