"""Checks of the folder to build a dataset in, including for other running builds."""

import contextlib
import os
import pathlib

from etils import epath

from . import paths, scratch
from .refusal import RefusedError

_INCOMPLETE = "incomplete."  # TFDS' prefix of unfinished folders.
_PATTERN_LETTERS = frozenset("[]*?")


class OccupiedError(RefusedError, FileExistsError):
    """Another build uses, or has used, the output folder."""


class PathError(RefusedError, ValueError):
    """A library used by the build would misinterpret the folder's name."""


def clear(folder: epath.Path, is_built: bool) -> None:
    """Removes the remains of killed builds of a dataset; fails if another build is running.

    Two builds started at the same moment do not detect each other; the slower one fails when it
    finishes.

    Args:
      folder: The folder of the dataset, such as DATA/covid19_radiography/full/1.0.0.
      is_built: Whether the dataset already exists there.

    Raises:
      OccupiedError: The folder holds something else, or another build is running.
    """
    if not paths.is_local(folder):
        return
    living = scratch.sweep(pathlib.Path(folder.parent), _INCOMPLETE)
    if is_built:
        return
    if paths.exists(folder):
        raise OccupiedError(
            f"{folder} exists but is not a complete dataset: move it away and build again."
        )
    for name, owner in living.items():
        if name.endswith(f"_{folder.name}"):
            raise OccupiedError(
                f"{owner} builds {folder} right now: wait for it, or choose another --data_dir."
            )


def overtaken(folder: epath.Path) -> OccupiedError:
    """Creates the error for a build that was overtaken by another one.

    Args:
      folder: The folder of the dataset.

    Returns:
      The error.
    """
    return OccupiedError(
        f"Another build finished {folder} first: its result was kept, this one was discarded."
    )


def marked(folder: epath.Path) -> contextlib.AbstractContextManager[None]:
    """Marks a folder as being filled by this process, if it is on a local disk.

    Args:
      folder: The folder that is being filled.

    Returns:
      A context manager that removes the mark on exit.
    """
    if not paths.is_local(folder):
        return contextlib.nullcontext()
    return scratch.marked(pathlib.Path(folder))


def check_name(folder: epath.Path, on_beam: bool) -> None:
    """Rejects a folder whose name TensorFlow or Beam would misinterpret.

    TensorFlow assumes that names are UTF-8. Beam, and TFDS on Beam, find their files by glob
    patterns.

    Args:
      folder: The folder to build the dataset in.
      on_beam: Whether the build runs on Beam.

    Raises:
      PathError: The name would be misinterpreted.
    """
    if paths.is_local(folder) and not _is_utf8(str(folder)):
        raise PathError(
            f"TensorFlow reads the name {ascii(str(folder))} as UTF-8, which it is not in this "
            "process: set PYTHONUTF8=1 if it is UTF-8 on disk, or choose another --data_dir."
        )
    if on_beam and (letters := _PATTERN_LETTERS.intersection(str(folder))):
        raise PathError(
            f"Beam takes {' '.join(sorted(letters))} in {folder} for a pattern: choose another "
            "--data_dir, or build without Beam."
        )


def _is_utf8(name: str) -> bool:
    """Whether Python's and TensorFlow's encodings of a name are the same bytes."""
    try:
        return os.fsencode(name) == name.encode()
    except UnicodeEncodeError:
        return False
