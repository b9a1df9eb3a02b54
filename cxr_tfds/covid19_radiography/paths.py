"""What stands at a path, asked so that the answer is true of any name and any owner.

`glob` takes the letters `[ ] * ?` of a folder's name for a pattern, `exists` says no where it may
not look, and etils' `stat` fails where the owner of a file has no name on this machine.
"""

import os

from etils import epath

from .refusal import RefusedError

_PATTERN_LETTERS = frozenset("[]*?")


class PathError(RefusedError, ValueError):
    """A path that a library of this build takes for another one."""


def is_local(path: epath.Path) -> bool:
    """Tells whether a path is one of this machine, and not of an object store.

    Args:
      path: Any path.

    Returns:
      Whether Python itself can open it.
    """
    return "://" not in str(path)


def exists(path: epath.Path) -> bool:
    """Tells whether something stands at a path, be it a link that leads nowhere.

    Args:
      path: Any path.

    Returns:
      Whether there is something.

    Raises:
      OSError: That cannot be told, as in a folder that may not be searched.
    """
    if not is_local(path):
        return path.exists()
    try:
        os.lstat(path)
    except (FileNotFoundError, NotADirectoryError):
        return False
    return True


def listed(folder: epath.Path) -> list[epath.Path]:
    """Lists a folder.

    Args:
      folder: A folder; it need not exist.

    Returns:
      What is in it, in any order.

    Raises:
      OSError: It cannot be listed, or is no folder.
    """
    return list(folder.iterdir()) if exists(folder) else []


def size(path: epath.Path) -> int:
    """Measures a file; a pipe or a device, from which a reader would wait for ever, has no bytes.

    Args:
      path: The file.

    Returns:
      Its length in bytes.

    Raises:
      OSError: That cannot be told.
    """
    return os.stat(path).st_size if is_local(path) else path.stat().length


def check_writable_by_all(folder: epath.Path, on_beam: bool) -> None:
    """Refuses a folder to build in that TensorFlow or Beam would take for another.

    TensorFlow takes every name for UTF-8. Beam, and TFDS where it runs on Beam, find their files
    again by patterns.

    Args:
      folder: Where the dataset will be built.
      on_beam: Whether Beam builds it.

    Raises:
      PathError: It is such a folder.
    """
    if is_local(folder) and not _is_utf8(str(folder)):
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
