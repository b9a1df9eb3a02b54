"""Paths that TensorFlow's SavedModel reads literally."""

import contextlib
import pathlib
import tempfile
from collections.abc import Iterator

from trainer.directory import unfinished

# TensorFlow finds the variables' file with a pattern that starts with the directory's path.
_OF_PATTERNS = frozenset("*?[\\")


@contextlib.contextmanager
def literal_path(directory: pathlib.Path) -> Iterator[str]:
    """Provides a path to a directory without characters that TensorFlow would interpret.

    Args:
        directory: an existing directory; its path may hold `[`, `*`, `?`, or invalid UTF-8.

    Yields:
        The directory's path, or a symbolic link to it, which is removed on exit.
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
