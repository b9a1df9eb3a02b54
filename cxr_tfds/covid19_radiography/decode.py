"""From PNG bytes to the 224x224 gray pixels that networks see.

Whoever has to repeat this bit for bit, such as an exported model that takes PNG bytes, needs these
operations in this order and nothing else: libpng's decoding and Pillow's resizing.
"""

import numpy as np
from etils import epath
from PIL import Image
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


def resize(image: np.ndarray) -> np.ndarray:
    """Resizes a radiograph bilinearly, with antialiasing, disregarding the aspect ratio.

    Pillow's arithmetic is in integers, so that every machine gives the same pixels.

    Args:
      image: `[height, width] uint8`.

    Returns:
      `[224, 224, 1] uint8`.
    """
    return _resized(image, Image.Resampling.BILINEAR)


def resize_mask(mask: np.ndarray) -> np.ndarray:
    """Resizes a lung mask: a pixel is lung where at least half of what it covers is lung.

    Args:
      mask: `[height, width] uint8`, 255 in the lungs and 0 elsewhere.

    Returns:
      `[224, 224, 1] uint8`, 1 in the lungs and 0 elsewhere.
    """
    return (_resized(mask, Image.Resampling.BOX) >= 128).astype(np.uint8)


def resize_pair(image: np.ndarray, mask: np.ndarray | None) -> tuple[np.ndarray, np.ndarray]:
    """Resizes a radiograph and its lung mask; may be called from many threads at once.

    Args:
      image: `[height, width] uint8`.
      mask: `[height, width] uint8`, 255 in the lungs and 0 elsewhere, or None.

    Returns:
      The image and the mask, both `[224, 224, 1] uint8`; the mask is 1 in the lungs, and all zero
      if there is none.
    """
    small = resize(image)
    return small, np.zeros_like(small) if mask is None else resize_mask(mask)


def read_pair(image: epath.Path, mask: epath.Path | None) -> tuple[np.ndarray, np.ndarray]:
    """Reads, decodes and resizes one radiograph.

    Args:
      image: The PNG file.
      mask: The PNG file of its lung mask, or None.

    Returns:
      What `resize_pair` returns.
    """

    def pixels(path: epath.Path) -> np.ndarray:
        return decode_gray(path.read_bytes()).numpy()[..., 0]

    return resize_pair(pixels(image), pixels(mask) if mask else None)


def _resized(pixels: np.ndarray, resampling: Image.Resampling) -> np.ndarray:
    return np.asarray(Image.fromarray(pixels).resize((SIZE, SIZE), resampling))[..., None]
