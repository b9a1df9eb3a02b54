"""Reads a file like the commands."""

import numpy as np

from cxr_command.radiograph import reading


def read(path, image_shape) -> np.ndarray:
    """Reads `image_shape uint8`."""
    return reading.resized(reading.read(path).pixels, image_shape)
