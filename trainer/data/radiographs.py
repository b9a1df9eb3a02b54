"""Decoding of PNG and JPEG files in a graph, for a model served by TensorFlow alone.

`cxr_command.radiograph` reads the same files to the same pixels; a test compares the two.
"""

from collections.abc import Sequence

import numpy as np
import tensorflow as tf

from cxr_command.largest_image import MOST_PIXELS
from trainer.data.orientation import orientation, upright
from trainer.data.pixels import resize, to_gray

_PNG_SIGNATURE = b"\x89PNG\r\n\x1a\n"


def decode_radiograph(encoded: tf.Tensor, image_shape: Sequence[int]) -> tf.Tensor:
    """Decodes a PNG or JPEG file of any size and mode with graph operations.

    The EXIF orientation is applied. 16-bit files keep the upper 8 of the bits in use.

    Args:
        encoded: the file's bytes, a scalar string.
        image_shape: `[height, width, 1]` to resize to, bilinearly with antialiasing.

    Returns:
        `image_shape uint8`.

    Raises:
        tf.errors.OpError: the bytes are not such an image, or it has more than `MOST_PIXELS`.
    """
    size, is_png = _checked_size(encoded), _is_png(encoded)
    image = tf.cond(is_png, lambda: _decode_png(encoded), lambda: _decode_jpeg(encoded, size[2]))
    return resize(upright(image, orientation(encoded, is_png)), image_shape)


def pixels_claimed(encoded: tf.Tensor) -> tf.Tensor:
    """Returns the number of pixels in the header of a PNG or JPEG file, without decoding.

    Args:
        encoded: the file's bytes, a scalar string.

    Returns:
        A scalar int64.

    Raises:
        tf.errors.OpError: the bytes are not such an image, or it has more than `MOST_PIXELS`.
    """
    return tf.reduce_prod(tf.cast(_checked_size(encoded)[:2], tf.int64))


def _is_png(encoded: tf.Tensor) -> tf.Tensor:
    return tf.equal(tf.strings.substr(encoded, 0, 8), _PNG_SIGNATURE)


def _decode_png(encoded: tf.Tensor) -> tf.Tensor:
    depth = tf.io.decode_raw(tf.strings.substr(encoded, 24, 1), tf.uint8)[0]
    return tf.cond(
        tf.equal(depth, 16),
        lambda: _upper_bits(tf.io.decode_png(encoded, 1, tf.uint16)),
        lambda: tf.io.decode_png(encoded, 1),
    )


def _upper_bits(values: tf.Tensor) -> tf.Tensor:
    """Converts `uint16` to `uint8`: the upper 8 of the bits (at least 8) of the highest value."""
    values = tf.cast(values, tf.int32)
    used = tf.reduce_sum(tf.cast(tf.reduce_max(values) >= 2 ** np.arange(8, 16), tf.int32))
    return tf.cast(tf.bitwise.right_shift(values, used), tf.uint8)


def _decode_jpeg(encoded: tf.Tensor, channels: tf.Tensor) -> tf.Tensor:
    # The exact transform, as used by Pillow. libjpeg cannot convert CMYK to gray directly.
    return tf.cond(
        tf.equal(channels, 4),
        lambda: to_gray(tf.io.decode_jpeg(encoded, 3, dct_method="INTEGER_ACCURATE")),
        lambda: tf.io.decode_jpeg(encoded, 1, dct_method="INTEGER_ACCURATE"),
    )


def _checked_size(encoded: tf.Tensor) -> tf.Tensor:
    """Returns height, width and channels from the header; fails if there are too many pixels."""
    size = tf.cond(_is_png(encoded), lambda: _png_size(encoded), lambda: _jpeg_size(encoded))
    pixels = tf.reduce_prod(tf.cast(size[:2], tf.int64))
    with tf.control_dependencies([tf.debugging.Assert(pixels <= MOST_PIXELS, [pixels])]):
        return tf.identity(size)


def _png_size(encoded: tf.Tensor) -> tf.Tensor:
    """Returns height, width and 1, as TensorFlow can decode every PNG to gray."""
    width_height = tf.io.decode_raw(tf.strings.substr(encoded, 16, 8), tf.int32, False)
    # A width beyond int32 becomes negative.
    positive = tf.debugging.Assert(tf.reduce_all(width_height > 0), [width_height])
    with tf.control_dependencies([positive]):
        return tf.concat([width_height[::-1], [1]], axis=0)


def _jpeg_size(encoded: tf.Tensor) -> tf.Tensor:
    """Returns height, width and channels; fails if the bytes are not a JPEG."""
    with tf.control_dependencies([tf.debugging.Assert(tf.image.is_jpeg(encoded), ["no JPEG"])]):
        return tf.io.extract_jpeg_shape(encoded)
