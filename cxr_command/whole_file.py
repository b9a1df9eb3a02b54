"""Writes files atomically."""

import contextlib
import os
import pathlib
from collections.abc import Iterator


@contextlib.contextmanager
def writing(path: pathlib.Path, *, shared: bool = False) -> Iterator[pathlib.Path]:
    """Provides a temporary file that replaces an older file when it is complete.

    After any error, including Ctrl-C, the older file is unchanged and the temporary file is
    removed. The new file has the default mode, and is not flushed to disk.

    Args:
        path: the file, in an existing directory. A link is replaced, not followed.
        shared: whether several processes may write the file at the same time; the last one wins.
            Otherwise the next write overwrites the leftovers of a killed process.

    Yields:
        The temporary file, in the same directory and with the same suffix.
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
