"""Writes a file whole or not at all."""

import contextlib
import os
import pathlib
from collections.abc import Iterator


@contextlib.contextmanager
def writing(path: pathlib.Path, *, shared: bool = False) -> Iterator[pathlib.Path]:
    """Gives a file to write to, which gets its name when all is written, in place of an older one.

    After any error, Ctrl-C included, the older file is as it was, and nothing lies beside it. What
    is written has the mode of any new file, and is not flushed to the disk.

    Args:
        path: the file, in a directory that exists. A link is replaced, not followed.
        shared: whether several processes may write the file at once; the last one wins. Where none
            can, the next writing replaces what a killed process has left.

    Yields:
        The file to write to, beside the other and with the same suffix.
    """
    owner = f"{os.getpid()}-" if shared else ""
    partial = path.with_name(f".partial-{owner}{path.name}")
    try:
        yield partial
        partial.replace(path)
    except BaseException:
        with contextlib.suppress(OSError):
            partial.unlink()
        raise
