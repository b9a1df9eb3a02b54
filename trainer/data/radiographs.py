"""A user's own image files, brought to the pixels that the networks were trained on.

The operations are those of the dataset's builder, in the same order, so that a file gives the same
bytes here as in the built dataset; a test compares the two.
"""

import glob
import pathlib
from collections.abc import Sequence

import numpy as np
import tensorflow as tf
from absl import logging

from trainer.data.dicom import DICOM_SUFFIXES, read_dicom
from trainer.data.pixels import resize, to_gray
from trainer.errors import UserError

_SUFFIXES = (".png", ".jpg", ".jpeg")
_PNG_SIGNATURE = b"\x89PNG\r\n\x1a\n"
# A radiograph has up to 20 million pixels. A file of a few bytes can claim far more, and whoever
# decoded it would run out of memory.
MOST_PIXELS = 64_000_000


def decode_radiograph(encoded: tf.Tensor, image_shape: Sequence[int]) -> tf.Tensor:
    """Decodes a PNG or JPEG file of any size and mode, with operations that a graph can hold.

    Args:
        encoded: the file's bytes, a scalar string.
        image_shape: `[height, width, 1]` to resize to, bilinearly with antialiasing.

    Returns:
        `image_shape uint8`.

    Raises:
        tf.errors.OpError: the bytes are no such image, or one of more than `MOST_PIXELS`.
    """
    is_png = tf.equal(tf.strings.substr(encoded, 0, 8), _PNG_SIGNATURE)
    size = tf.cond(is_png, lambda: _png_size(encoded), lambda: _jpeg_size(encoded))
    pixels = tf.reduce_prod(tf.cast(size[:2], tf.int64))
    with tf.control_dependencies([tf.debugging.Assert(pixels <= MOST_PIXELS, [pixels])]):
        # libjpeg cannot turn CMYK into gray by itself.
        image = tf.cond(
            tf.equal(size[2], 4),
            lambda: to_gray(tf.io.decode_jpeg(encoded, channels=3)),
            lambda: tf.io.decode_image(encoded, 1, expand_animations=False),
        )
    return resize(image, image_shape)


def _png_size(encoded: tf.Tensor) -> tf.Tensor:
    """Height, width and, as decoding to gray knows every PNG, 1."""
    width_height = tf.io.decode_raw(tf.strings.substr(encoded, 16, 8), tf.int32, False)
    # A width beyond int32 turns up negative.
    positive = tf.debugging.Assert(tf.reduce_all(width_height > 0), [width_height])
    with tf.control_dependencies([positive]):
        return tf.concat([width_height[::-1], [1]], axis=0)


def _jpeg_size(encoded: tf.Tensor) -> tf.Tensor:
    """Height, width and channels; it fails on what is no JPEG."""
    with tf.control_dependencies([tf.debugging.Assert(tf.image.is_jpeg(encoded), ["no JPEG"])]):
        return tf.io.extract_jpeg_shape(encoded)


def read_radiograph(path: str | pathlib.Path, image_shape: Sequence[int]) -> np.ndarray:
    """Reads a PNG, JPEG or DICOM file of any size as a gray radiograph.

    Args:
        path: the file; DICOM is told by the name's end, `.dcm` or `.dicom`.
        image_shape: `[height, width, 1]` to resize to, bilinearly with antialiasing.

    Returns:
        `image_shape uint8`.

    Raises:
        UserError: the file is no image that can be decoded.
    """
    if pathlib.Path(path).suffix.lower() in DICOM_SUFFIXES:
        return resize(read_dicom(path), image_shape).numpy()
    try:
        return decode_radiograph(tf.io.read_file(str(path)), image_shape).numpy()
    except tf.errors.OpError as error:
        raise UserError(f"{path} is not a readable PNG or JPEG image") from error


def read_radiographs(
    paths: Sequence[pathlib.Path], image_shape: Sequence[int]
) -> tuple[np.ndarray, list[int], list[pathlib.Path]]:
    """Reads many files; what cannot be read is logged and left out.

    Args:
        paths: the files.
        image_shape: `[height, width, 1]` to resize to.

    Returns:
        `[readable, height, width, 1] uint8`, the positions of the readable files, and the others.
    """
    images, kept, left_out = [], [], []
    for position, path in enumerate(paths):
        try:
            images.append(read_radiograph(path, image_shape))
            kept.append(position)
        except UserError as error:
            logging.error("left out: %s", error)
            left_out.append(path)
    return np.array(images, np.uint8).reshape(-1, *image_shape), kept, left_out


def list_radiographs(patterns: Sequence[str]) -> list[pathlib.Path]:
    """Lists the radiographs that a user names.

    Args:
        patterns: files, folders (all PNG, JPEG and DICOM files in them, however deep) and globs.

    Returns:
        The files, each once, in the order of the patterns and by name.

    Raises:
        UserError: a pattern matches nothing.
    """
    paths = []
    for pattern in patterns:
        # A name may hold what a glob would take for a wildcard: scan[1].png.
        exists = pathlib.Path(pattern).exists()
        matches = [pattern] if exists else sorted(glob.glob(pattern, recursive=True))
        found = [path for match in matches for path in _at(match)]
        if not found:
            raise UserError(
                f"--images={pattern}: no file matches; expected PNG, JPEG or DICOM files, a folder "
                "of them, or a glob in quotes"
            )
        paths += found
    return list(dict.fromkeys(paths))


def _at(match: str) -> list[pathlib.Path]:
    """The file itself, or the radiographs in a folder."""
    path = pathlib.Path(match)
    if not path.is_dir():
        return [path]
    suffixes = (*_SUFFIXES, *DICOM_SUFFIXES)
    return sorted(p for p in path.rglob("*") if p.suffix.lower() in suffixes and p.is_file())


def list_labelled(
    directory: pathlib.Path, class_names: Sequence[str]
) -> list[tuple[pathlib.Path, int]]:
    """Lists the PNG and JPEG files of a folder with one sub-folder for each class.

    Args:
        directory: the folder.
        class_names: names of the classes; a class may have no sub-folder.

    Returns:
        Path and label of each file, by class and name.

    Raises:
        UserError: there is no such folder, a sub-folder is no class, or there is no image.
    """
    if not directory.is_dir():
        raise UserError(f"--images_dir={directory}: there is no such folder")
    folders = {path.name for path in directory.iterdir() if path.is_dir() and path.name[0] != "."}
    if strange := sorted(folders.difference(class_names)):
        raise UserError(
            f"--images_dir={directory} has the sub-folder {strange[0]!r}, which is no class; "
            f"expected one sub-folder of images for each of {', '.join(class_names)}"
        )
    files = [
        (path, label)
        for label, name in enumerate(class_names)
        if name in folders
        for path in sorted((directory / name).iterdir())
        if path.suffix.lower() in _SUFFIXES
    ]
    if not files:
        raise UserError(
            f"--images_dir={directory} holds no PNG or JPEG file; expected sub-folders of images "
            f"named {', '.join(class_names)}"
        )
    return files
