"""A user's own image files, brought to the pixels that the networks were trained on.

The operations are those of the dataset's builder, in the same order, so that a file gives the same
bytes here as in the built dataset; a test compares the two.
"""

import contextlib
import glob
import os
import pathlib
from collections.abc import Iterator, Sequence
from typing import NoReturn

import numpy as np
import tensorflow as tf
from absl import logging

from cxr_command.largest_image import MOST_PIXELS
from trainer.data.dicom import DICOM_SUFFIXES, read_dicom
from trainer.data.image_file import read_image_file
from trainer.data.pixels import resize, to_gray
from trainer.errors import Damaged, Unreadable, UserError

_SUFFIXES = (".png", ".jpg", ".jpeg")
_PNG_SIGNATURE = b"\x89PNG\r\n\x1a\n"


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
    # libjpeg cannot turn CMYK into gray by itself.
    image = tf.cond(
        tf.equal(_checked_size(encoded)[2], 4),
        lambda: to_gray(tf.io.decode_jpeg(encoded, channels=3)),
        lambda: tf.io.decode_image(encoded, 1, expand_animations=False),
    )
    return resize(image, image_shape)


def pixels_claimed(encoded: tf.Tensor) -> tf.Tensor:
    """How many pixels a PNG or JPEG file has by its header, a scalar int64; it decodes nothing.

    Args:
        encoded: the file's bytes, a scalar string.

    Raises:
        tf.errors.OpError: the bytes are no such image, or one of more than `MOST_PIXELS`.
    """
    return tf.reduce_prod(tf.cast(_checked_size(encoded)[:2], tf.int64))


def _checked_size(encoded: tf.Tensor) -> tf.Tensor:
    """Height, width and channels by the header; it fails where there are too many pixels."""
    is_png = tf.equal(tf.strings.substr(encoded, 0, 8), _PNG_SIGNATURE)
    size = tf.cond(is_png, lambda: _png_size(encoded), lambda: _jpeg_size(encoded))
    pixels = tf.reduce_prod(tf.cast(size[:2], tf.int64))
    with tf.control_dependencies([tf.debugging.Assert(pixels <= MOST_PIXELS, [pixels])]):
        return tf.identity(size)


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
        Damaged: the file is no image that can be decoded, or one of more than `MOST_PIXELS`.
        Unreadable: the system could not read it; it may be whole.
    """
    if pathlib.Path(path).suffix.lower() in DICOM_SUFFIXES:
        return resize(read_dicom(path), image_shape).numpy()
    encoded = tf.constant(read_image_file(path))
    try:
        return decode_radiograph(encoded, image_shape).numpy()
    # The second where the message would quote bytes that are no text.
    except (tf.errors.InvalidArgumentError, UnicodeDecodeError) as error:
        raise Damaged(
            f"{path} is not a readable PNG or JPEG image of at most {MOST_PIXELS:,} pixels"
        ) from error


def read_radiographs(
    paths: Sequence[pathlib.Path], image_shape: Sequence[int]
) -> tuple[np.ndarray, list[int], list[pathlib.Path]]:
    """Reads many files; what is no image is logged and left out.

    Args:
        paths: the files.
        image_shape: `[height, width, 1]` to resize to.

    Returns:
        `[readable, height, width, 1] uint8`, the positions of the readable files, and the others.

    Raises:
        Unreadable: the system could not read a file, which may be whole.
    """
    images, kept, left_out = [], [], []
    for position, path in enumerate(paths):
        try:
            images.append(read_radiograph(path, image_shape))
            kept.append(position)
        except Damaged as error:
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
        UserError: a pattern matches nothing, or a folder cannot be listed.
    """
    paths = []
    for pattern in patterns:
        found = [path for match in _matches(pattern) for path in _at(match)]
        if not found:
            raise UserError(
                f"--images={pattern}: no file matches; expected PNG, JPEG or DICOM files, a folder "
                "of them, or a glob in quotes"
            )
        paths += found
    return list(dict.fromkeys(paths))


def _matches(pattern: str) -> list[str]:
    """What a glob names; a part of it that exists is taken literally: `scan[1].png`, `a[1]/*`."""
    if os.path.lexists(pattern):
        return [pattern]
    parents = map(str, pathlib.Path(pattern).parents)
    literal = next((parent for parent in parents if os.path.exists(parent)), ".")
    rest = os.path.relpath(pattern, literal)
    return sorted(glob.glob(os.path.join(glob.escape(literal), rest), recursive=True))


def _at(match: str) -> list[pathlib.Path]:
    """The file itself, or the radiographs in a folder, however deep."""
    if not os.path.isdir(match):
        return [pathlib.Path(match)]
    suffixes = (*_SUFFIXES, *DICOM_SUFFIXES)
    with _listing(match):
        files = [
            pathlib.Path(folder, name)
            for folder, _, names in os.walk(match, onerror=_raise)
            for name in names
        ]
    return sorted(path for path in files if path.suffix.lower() in suffixes and path.is_file())


def _raise(error: OSError) -> NoReturn:
    raise error


@contextlib.contextmanager
def _listing(folder: str | pathlib.Path) -> Iterator[None]:
    """While open, a folder that cannot be listed raises `UserError`: no file goes unseen."""
    try:
        yield
    except OSError as error:
        raise Unreadable(
            f"the folder {error.filename or folder} cannot be listed ({error.strerror}); run the "
            "same command again once it can be"
        ) from error


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
        UserError: there is no such folder or it cannot be listed, a sub-folder is no class, or
            there is no image.
    """
    if not os.path.isdir(directory):
        raise UserError(f"--images_dir={directory}: there is no such folder")
    with _listing(directory):
        found = {path.name: path for path in directory.iterdir() if path.is_dir()}
        folders = {name: sorted(path.iterdir()) for name, path in found.items() if name[0] != "."}
    if strange := sorted(set(folders).difference(class_names)):
        raise UserError(
            f"--images_dir={directory} has the sub-folder {strange[0]!r}, which is no class; "
            f"expected one sub-folder of images for each of {', '.join(class_names)}"
        )
    files = [
        (path, label)
        for label, name in enumerate(class_names)
        if name in folders
        for path in folders[name]
        if path.suffix.lower() in _SUFFIXES and path.is_file()
    ]
    if others := sum(map(len, folders.values())) - len(files):
        logging.warning(
            "left out: %d entries of the folders in %s that are no PNG or JPEG file",
            others, directory,
        )  # fmt: skip
    if not files:
        raise UserError(
            f"--images_dir={directory} holds no PNG or JPEG file; expected sub-folders of images "
            f"named {', '.join(class_names)}"
        )
    return files
