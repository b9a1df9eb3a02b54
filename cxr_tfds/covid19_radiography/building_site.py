"""The folder that a dataset is built in: may it be, and does nobody else build there?"""

import contextlib
import os
import pathlib

from etils import epath

from . import paths, scratch
from .refusal import RefusedError

_INCOMPLETE = "incomplete."  # How TFDS names the folder that it renames once it is whole.
_PATTERN_LETTERS = frozenset("[]*?")


class OccupiedError(RefusedError, FileExistsError):
    """Another build is, or was, where this one would write."""


class PathError(RefusedError, ValueError):
    """A folder that a library of this build takes for another one."""


def clear(folder: epath.Path, is_built: bool) -> None:
    """Clears away what killed builds of a dataset left, and stands back from a living one.

    Two builds that begin at the same moment do not see each other: the slower one learns it when
    it has finished.

    Args:
      folder: Where the dataset will stand, such as DATA/covid19_radiography/full/1.0.0.
      is_built: Whether it stands there already.

    Raises:
      OccupiedError: Something else stands there, or another build runs.
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
    """What to raise when another build has finished first.

    Args:
      folder: Where the dataset stands.

    Returns:
      The error.
    """
    return OccupiedError(
        f"Another build finished {folder} first: its result was kept, this one was discarded."
    )


def marked(folder: epath.Path) -> contextlib.AbstractContextManager[None]:
    """Marks what is being built as this process's own, if it is on a disk of this machine.

    Args:
      folder: The folder that is being filled.

    Returns:
      A context; the mark is gone when it is left.
    """
    if not paths.is_local(folder):
        return contextlib.nullcontext()
    return scratch.marked(pathlib.Path(folder))


def check_name(folder: epath.Path, on_beam: bool) -> None:
    """Refuses a folder that TensorFlow or Beam would take for another one.

    TensorFlow takes every name for UTF-8. Beam, and TFDS where it runs on Beam, find their files
    again by patterns.

    Args:
      folder: Where the dataset will be built.
      on_beam: Whether Beam builds it.

    Raises:
      PathError: It is such a folder.
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
    """Whether the bytes that Python uses for a name are those that TensorFlow uses."""
    try:
        return os.fsencode(name) == name.encode()
    except UnicodeEncodeError:
        return False
