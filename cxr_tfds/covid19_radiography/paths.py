"""What stands at a path, asked so that the answer is true of any name and any owner.

`glob` takes the letters `[ ] * ?` of a folder's name for a pattern, `exists` says no where it may
not look, and etils' `stat` fails where the owner of a file has no name on this machine.
"""

import os

from etils import epath


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


def printable(text: object) -> str:
    """Makes a text with names of files printable: their bytes need not be UTF-8.

    Args:
      text: A path, or a text that paths are part of.

    Returns:
      The text, with such bytes as escapes.
    """
    return str(text).encode(errors="backslashreplace").decode()
