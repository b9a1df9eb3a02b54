"""A user's own image files, brought to the pixels that the networks were trained on.

The operations are those of the dataset's builder, in the same order, so that a file gives the same
bytes here as in the built dataset; a test compares the two.
"""

import pathlib
from collections.abc import Sequence

import numpy as np
import tensorflow as tf
from absl import logging

from trainer.data.pixels import resize
from trainer.errors import UserError

_SUFFIXES = (".png", ".jpg", ".jpeg")


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
    return resize(image, image_shape).numpy()


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
