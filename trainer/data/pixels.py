"""Conversion of radiographs to the networks' input: gray uint8 pixels of one size."""

from collections.abc import Sequence

import tensorflow as tf

_UNIT = 2.0**22


def to_gray(image: tf.Tensor) -> tf.Tensor:
    """Converts an image to gray.

    Args:
        image: `[height, width, 1, 3 or 4] uint8`; colour becomes ITU-R 601 luma, and the fourth
            channel, transparency, is dropped.

    Returns:
        `[height, width, 1] uint8`.
    """
    if image.shape[-1] == 1:
        return image
    luma = tf.image.rgb_to_grayscale(tf.cast(image[..., :3], tf.float32))
    return tf.cast(tf.round(luma), tf.uint8)


def resize(image: tf.Tensor, image_shape: Sequence[int]) -> tf.Tensor:
    """Resizes bilinearly with antialiasing, disregarding the aspect ratio.

    Gives the same pixels as Pillow's `resize(..., Resampling.BILINEAR)`, which the dataset's
    builder uses: weights in units of 2**-22, rounded to 8 bits after the columns and after the
    rows. The sums are of integers below 2**53, which float64 represents exactly, in any order.

    Args:
        image: `[height, width, 1] uint8`.
        image_shape: `[height, width, 1]` to resize to.

    Returns:
        `image_shape uint8`.
    """
    image = tf.ensure_shape(image, [None, None, 1])
    if image.shape == tuple(image_shape):
        return image
    height, width = image_shape[:2]
    pixels = tf.cast(image[..., 0], tf.float64)
    pixels = _rounded(tf.matmul(pixels, _weights(tf.shape(image)[1], width), transpose_b=True))
    pixels = _rounded(tf.matmul(_weights(tf.shape(image)[0], height), pixels))
    return tf.ensure_shape(tf.cast(pixels, tf.uint8)[..., None], image_shape)


def _rounded(sums: tf.Tensor) -> tf.Tensor:
    return tf.clip_by_value(tf.floor((sums + _UNIT / 2) / _UNIT), 0.0, 255.0)


def _weights(size: tf.Tensor, new_size: int) -> tf.Tensor:
    """Weights of the old pixels in each new one, `[new_size, size] float64` integers."""
    scale = tf.cast(size, tf.float64) / new_size
    reach = tf.maximum(scale, 1.0)
    old = tf.range(tf.cast(size, tf.float64), dtype=tf.float64)
    centers = ((tf.range(new_size, dtype=tf.float64) + 0.5) * scale)[:, None]
    weights = tf.maximum(1.0 - tf.abs((old - centers + 0.5) * (1.0 / reach)), 0.0)
    inside = (old >= tf.floor(centers - reach + 0.5)) & (old < tf.floor(centers + reach + 0.5))
    weights = tf.where(inside, weights, 0.0)
    shares = weights / tf.reduce_sum(weights, axis=1, keepdims=True)
    return tf.floor(0.5 + shares * _UNIT)
