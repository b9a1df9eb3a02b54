"""Reads and applies the EXIF orientation of an image with graph operations."""

import tensorflow as tf

# The EXIF markers in a JPEG and in a PNG file, and the byte-order marks that follow them.
_OF_JPEG, _OF_PNG = b"Exif\0\0", b"eXIf"
_LITTLE, _BIG = b"II*\0", b"MM\0*"
_TAG, _SHORT = 0x0112, 3


def orientation(encoded: tf.Tensor, is_png: tf.Tensor) -> tf.Tensor:
    """Reads the EXIF orientation of an image.

    Source: CIPA DC-008 (EXIF 2.32), 4.5 and 4.6.4; TIFF 6.0, section 2.

    Args:
        encoded: the bytes of a PNG or JPEG file, a scalar string.
        is_png: whether it is a PNG file, a scalar.

    Returns:
        1 to 8, a scalar int32; 1 (upright) if the file has no orientation.
    """
    mark = tf.where(is_png, _OF_PNG, _OF_JPEG)
    told = tf.maximum(_told(encoded, mark, _LITTLE), _told(encoded, mark, _BIG))
    return tf.where((told >= 1) & (told <= 8), told, 1)


def upright(image: tf.Tensor, orientation: tf.Tensor) -> tf.Tensor:
    """Rotates and mirrors an image according to its orientation.

    Args:
        image: `[height, width, 1]`.
        orientation: 1 to 8, a scalar int32.

    Returns:
        `[height, width, 1]`; height and width are swapped for orientations 5 to 8.
    """
    image = tf.cond(orientation >= 5, lambda: tf.transpose(image, [1, 0, 2]), lambda: image)
    for axis, values in ((1, [2, 3, 6, 7]), (0, [3, 4, 7, 8])):
        turned = tf.reduce_any(orientation == values)
        image = tf.where(turned, tf.reverse(image, [axis]), image)
    return image


def _told(encoded: tf.Tensor, mark: tf.Tensor, order: bytes) -> tf.Tensor:
    """Returns the orientation in the first EXIF data of a byte order; 0 if there is none."""
    pieces = tf.strings.split(encoded, mark + order, maxsplit=1)
    # Zeros replace truncated bytes.
    body = tf.where(tf.size(pieces) > 1, pieces[-1], b"") + bytes(8)
    end = tf.strings.length(body)

    def numbers(place: tf.Tensor, count: tf.Tensor, kind: tf.DType) -> tf.Tensor:
        raw = tf.strings.substr(body, place, count * kind.size)
        return tf.cast(tf.io.decode_raw(raw, kind, little_endian=order == _LITTLE), tf.int32)

    # Offsets count from the byte-order mark, four bytes ahead of the body.
    start = tf.clip_by_value(numbers(0, 1, tf.int32)[0] - 4, 0, end - 2)
    count = tf.minimum(numbers(start, 1, tf.uint16)[0], (end - start - 2) // 12)
    entries = tf.reshape(numbers(start + 2, 6 * count, tf.uint16), [-1, 6])
    is_orientation = (entries[:, 0] == _TAG) & (entries[:, 1] == _SHORT)
    return tf.reduce_max(tf.concat([entries[:, 4][is_orientation], [0]], axis=0))
