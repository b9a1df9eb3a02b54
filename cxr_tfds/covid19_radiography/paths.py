"""Path queries that are correct for any name and any owner.

`glob` interprets `[ ] * ?` in a folder's name as a pattern, `exists` returns False in unreadable
folders, and etils' `stat` fails if the owner of a file has no name on this machine.
"""

import os

from etils import epath


def is_local(path: epath.Path) -> bool:
    """Whether a path is on this machine instead of an object store.

    Args:
      path: Any path.

    Returns:
      Whether Python itself can open it.
    """
    return "://" not in str(path)


def exists(path: epath.Path) -> bool:
    """Whether a path exists, including broken links.

    Args:
      path: Any path.

    Returns:
      Whether the path exists.

    Raises:
      OSError: It cannot be determined, as in an unreadable folder.
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
      folder: The folder, which need not exist.

    Returns:
      Its entries, in any order.

    Raises:
      OSError: It cannot be listed, or is not a folder.
    """
    return list(folder.iterdir()) if exists(folder) else []


def size(path: epath.Path) -> int:
    """Returns the size of a file; 0 for pipes and devices, on which a reader would block forever.

    Args:
      path: The file.

    Returns:
      The size in bytes.

    Raises:
      OSError: It cannot be determined.
    """
    return os.stat(path).st_size if is_local(path) else path.stat().length


def printable(text: object) -> str:
    """Makes a text with file names printable, as these may not be valid UTF-8.

    Args:
      text: A path, or a text that contains paths.

    Returns:
      The text, with invalid bytes as escapes.
    """
    return str(text).encode(errors="backslashreplace").decode()
