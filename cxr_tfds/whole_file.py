"""Writes a file whole or not at all."""

import contextlib
import os
import pathlib
from collections.abc import Iterator
from typing import TextIO


@contextlib.contextmanager
def writing(path: pathlib.Path) -> Iterator[TextIO]:
    """Opens a text file that gets its name when all is written, in place of an older one.

    Args:
      path: The file; a device, such as /dev/stdout, is written to directly.

    Yields:
      The open file.

    Raises:
      OSError: It cannot be written; an older file is as it was.
    """
    place = pathlib.Path(os.path.realpath(path))
    if place.exists() and not place.is_file():
        with place.open("w", encoding="utf-8", newline="") as file:
            yield file
        return
    unfinished = place.parent / f".partial-{os.getpid()}"
    try:
        with unfinished.open("w", encoding="utf-8", newline="") as file:
            yield file
        unfinished.replace(place)
    finally:
        unfinished.unlink(missing_ok=True)
