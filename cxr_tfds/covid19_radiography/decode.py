"""From PNG bytes to the 224x224 gray pixels that networks see, with TensorFlow operations alone.

Whoever has to repeat this bit for bit, such as an exported model that takes PNG bytes, needs these
operations in this order and nothing else.
"""

from collections.abc import Iterator, Sequence

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
    return tf.cast(resize(mask) >= 128, tf.uint8)


def read_resized(
    images: Sequence[str], masks: Sequence[str]
) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Reads, decodes and resizes radiographs on all cores, holding only a few in memory.

    Args:
      images: Paths of the PNG files of radiographs.
      masks: Paths of the PNG files of their lung masks, "" where there is none.

    Yields:
      The image and the mask of each radiograph in the order given, both `[224, 224, 1] uint8`; the
      mask is all zero where there is none.
    """
    paths = tf.data.Dataset.from_tensor_slices((images, masks))
    pixels = paths.map(read_pair, num_parallel_calls=tf.data.AUTOTUNE, deterministic=True)
    yield from pixels.prefetch(16).as_numpy_iterator()


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
