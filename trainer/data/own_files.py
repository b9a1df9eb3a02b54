"""Finds and reads a user's own radiographs, with readable errors."""

import contextlib
import os
import pathlib
from collections.abc import Iterator, Sequence

import numpy as np

from cxr_command.radiograph import listing, reading
from cxr_command.radiograph.account import Account
from trainer.errors import Unreadable, UserError
from trainer.parsing import unreadable


def find(patterns: Sequence[str], flag: str) -> listing.Found:
    """Lists the files that a user names.

    Args:
        patterns: files, folders (searched recursively) and globs.
        flag: the flag that names them.

    Returns:
        The files without duplicates, in the order of the patterns and by name, and the skipped
        files.

    Raises:
        UserError: a pattern matches no radiograph, or a folder cannot be listed.
    """
    files: dict[pathlib.Path, None] = {}
    left_out: dict[listing.LeftOut, None] = {}
    for pattern in patterns:
        with _listing(pattern):
            found = listing.find(pattern)
        if not found.files:
            reason = listing.told(0, found.left_out) if found.left_out else "no file matches"
            raise UserError(
                f"--{flag}={pattern}: {reason}; expected radiographs (PNG, JPEG, TIFF, BMP, WebP, "
                "GIF or DICOM files), a folder of them, or a glob in quotes"
            )
        files |= dict.fromkeys(found.files)
        left_out |= dict.fromkeys(found.left_out)
    return listing.Found(list(files), list(left_out))


def find_labelled(
    directory: pathlib.Path, class_names: Sequence[str]
) -> tuple[list[tuple[pathlib.Path, int]], list[listing.LeftOut]]:
    """Lists the radiographs of a folder with one sub-folder per class.

    Args:
        directory: the folder.
        class_names: names of the classes; a class may have no sub-folder.

    Returns:
        Path and label of each radiograph, by class and name, and the skipped files.

    Raises:
        UserError: the folder does not exist or cannot be listed, a sub-folder is not a class, or
            there is no radiograph.
    """
    if not os.path.isdir(directory):
        raise UserError(f"--images_dir={directory}: there is no such folder")
    try:
        with _listing(directory):
            found, left_out = listing.find_by_class(directory, class_names)
    except listing.LayoutError as error:
        raise UserError(f"--images_dir={directory} {error}") from error
    labels = {name: label for label, name in enumerate(class_names)}
    return [(path, labels[name]) for name, paths in found.items() for path in paths], left_out


def read(
    files: Sequence[pathlib.Path],
    image_shape: Sequence[int],
    account: Account,
    *,
    any_view: bool = False,
) -> Iterator[tuple[int, np.ndarray]]:
    """Reads radiographs one by one; other files are logged and skipped.

    Args:
        files: the files.
        image_shape: `[height, width, 1]` to resize to.
        account: counts files read and skipped.
        any_view: whether DICOM files of lateral views and of other parts of the body are read too.

    Yields:
        The position of each radiograph among the files, and its pixels, `image_shape uint8`.

    Raises:
        Unreadable: the operating system could not read a file, which may be intact.
    """
    try:
        for position, radiograph in account.reading(files, any_view=any_view):
            yield position, reading.resized(radiograph.pixels, image_shape)
    except OSError as error:
        raise unreadable(error.filename, error.strerror or str(error)) from error


def read_all(
    files: Sequence[pathlib.Path],
    image_shape: tuple[int, int, int],
    account: Account,
    *,
    any_view: bool = False,
) -> tuple[np.ndarray, list[int]]:
    """Reads radiographs into one array; arguments and errors as for `read`.

    Returns:
        `[readable, height, width, 1] uint8`, and their positions among the files.
    """
    images, rows = np.empty((len(files), *image_shape), np.uint8), []
    for row, image in read(files, image_shape, account, any_view=any_view):
        images[len(rows)] = image
        rows.append(row)
    return images[: len(rows)], rows


@contextlib.contextmanager
def _listing(folder: str | os.PathLike) -> Iterator[None]:
    """Raises `Unreadable` for a folder that cannot be listed, so that no file is missed."""
    try:
        yield
    except OSError as error:
        raise Unreadable(
            f"the folder {error.filename or folder} cannot be listed ({error.strerror}); run the "
            "same command again once it can be"
        ) from error
