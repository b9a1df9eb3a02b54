"""Paths that TensorFlow's SavedModel takes as they stand."""

import contextlib
import pathlib
import tempfile
from collections.abc import Iterator

from trainer.directory import unfinished

# TensorFlow finds the variables' file by a pattern that begins with the directory's path.
_OF_PATTERNS = frozenset("*?[\\")


@contextlib.contextmanager
def literal_path(directory: pathlib.Path) -> Iterator[str]:
    """Gives a path that leads to a directory and holds nothing which TensorFlow takes otherwise.

    Args:
        directory: it exists; its path may hold `[`, `*`, `?`, or bytes that are no UTF-8.

    Yields:
        Its own path, or that of a link to it, which is gone at the end.
    """
    path = str(directory)
    if is_literal(path):
        yield path
        return
    with unfinished(pathlib.Path(tempfile.gettempdir()), "cxr-link-") as folder:
        (folder / "directory").symlink_to(directory.resolve())
        yield str(folder / "directory")


def is_literal(path: str) -> bool:
    """Whether TensorFlow can load a SavedModel from a path."""
    try:
        path.encode()
    except UnicodeEncodeError:
        return False
    return _OF_PATTERNS.isdisjoint(path)
