"""Decodes files to 224x224 gray pixels, the networks' input."""

import numpy as np
from etils import epath
from PIL import Image

from cxr_command.radiograph import reading

SIZE = 224


def resize(image: np.ndarray) -> np.ndarray:
    """Resizes a radiograph bilinearly, with antialiasing, disregarding the aspect ratio.

    Pillow uses integer arithmetic, so every machine produces the same pixels.

    Args:
      image: `[height, width] uint8`.

    Returns:
      `[224, 224, 1] uint8`.
    """
    return reading.resized(image, (SIZE, SIZE))


def resize_mask(mask: np.ndarray) -> np.ndarray:
    """Resizes a lung mask: a pixel is lung if at least half of its area is lung.

    Args:
      mask: `[height, width] uint8`, 255 in the lungs and 0 elsewhere, or numbers below 128 of the
        lungs, such as 1 and 2, and 0 elsewhere.

    Returns:
      `[224, 224, 1] uint8`, 1 in the lungs and 0 elsewhere.
    """
    if mask.max() < 128:
        mask = np.where(mask > 0, 255, 0).astype(np.uint8)
    resized = Image.fromarray(mask).resize((SIZE, SIZE), Image.Resampling.BOX)
    return (np.asarray(resized)[..., None] >= 128).astype(np.uint8)


def resize_pair(image: np.ndarray, mask: np.ndarray | None) -> tuple[np.ndarray, np.ndarray]:
    """Resizes a radiograph and its lung mask; thread-safe.

    Args:
      image: `[height, width] uint8`.
      mask: `[height, width] uint8`, 255 in the lungs and 0 elsewhere, or None.

    Returns:
      The image and the mask, both `[224, 224, 1] uint8`; the mask is 1 in the lungs, and all zero
      if there is none.
    """
    small = resize(image)
    return small, np.zeros_like(small) if mask is None else resize_mask(mask)


def read_pair(
    image: epath.Path, mask: epath.Path | None, depth: int | None = None
) -> tuple[np.ndarray, np.ndarray]:
    """Reads, decodes and resizes one radiograph.

    Args:
      image: The PNG file.
      mask: The PNG file of its lung mask, or None.
      depth: The number of bits in use in the database's 16-bit files.

    Returns:
      The result of `resize_pair`.
    """
    pixels = reading.decode(image.read_bytes(), depth=depth).pixels
    return resize_pair(pixels, reading.decode(mask.read_bytes()).pixels if mask else None)
