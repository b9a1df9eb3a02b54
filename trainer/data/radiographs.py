"""A user's own image files, brought to the pixels that the networks were trained on.

The operations are those of the dataset's builder, in the same order, so that a file gives the same
bytes here as in the built dataset; a test compares the two.
"""

import pathlib
from collections.abc import Sequence

import numpy as np
import tensorflow as tf

from trainer.errors import UserError


def read_radiograph(path: str | pathlib.Path, image_shape: Sequence[int]) -> np.ndarray:
    """Reads a PNG or JPEG file of any size as a gray radiograph.

    Args:
        path: the file.
        image_shape: `[height, width, 1]` to resize to, bilinearly with antialiasing.

    Returns:
        `image_shape uint8`.

    Raises:
        UserError: the file is no image that can be decoded.
    """
    try:
        image = tf.io.decode_image(tf.io.read_file(str(path)), 1, expand_animations=False)
    except tf.errors.OpError as error:
        raise UserError(f"{path} is not a readable PNG or JPEG image") from error
    resized = tf.image.resize(image, image_shape[:2], method="bilinear", antialias=True)
    return tf.cast(tf.clip_by_value(tf.round(resized), 0.0, 255.0), tf.uint8).numpy()
