"""Keeps a command running when the terminal or pipe of its standard streams closes."""

import errno
import io
import os
import sys
from collections.abc import Callable
from typing import Any, TextIO

# Errors of a pipe without a reader, and of a closed terminal.
_READER_LEFT = (errno.EPIPE, errno.EIO)
# The file name in the error for a failed write.
OUTPUT = "standard output"


def open_closed() -> None:
    """Redirects closed descriptors among 0, 1 and 2 to the null device.

    Otherwise the next opened file, such as a checkpoint, would get such a descriptor and receive
    what TensorFlow writes to standard error.
    """
    for number, (name, mode) in enumerate([("stdin", "r"), ("stdout", "w"), ("stderr", "w")]):
        try:
            os.fstat(number)
        except OSError:
            os.open(os.devnull, os.O_RDWR)  # Takes the lowest free number, this one.
            os.set_inheritable(number, True)
            setattr(sys, name, open(number, mode, closefd=False))


def is_notebook() -> bool:
    """Whether a Jupyter kernel displays standard error."""
    return type(sys.stderr).__module__ == "ipykernel.iostream"


def outlive_readers(*, of_output: bool = True) -> None:
    """Discards writes to streams without a reader instead of raising an error.

    Standard error is a log: a failure to write to it, even due to a full disk, is always ignored.

    Args:
        of_output: whether to do the same for standard output. Otherwise the first failed write
            raises an OSError with the file name `OUTPUT`, as other kinds of failures always do.
    """
    unheeded = _READER_LEFT if of_output else ()
    sys.stdout = _over(_Stream(1, lambda error: error.errno not in unheeded), sys.stdout)
    sys.stderr = _over(_Stream(2, lambda error: False), sys.stderr)


class _Stream(io.FileIO):
    """A stream that ignores failed writes; if failures matter, the first one is raised."""

    def __init__(self, number: int, heeds: Callable[[OSError], bool]) -> None:
        super().__init__(number, "w", closefd=False)
        self._heeds = heeds

    def write(self, data: Any) -> int:
        try:
            return super().write(data)
        except OSError as error:
            if self._heeds(error):
                self._heeds = lambda error: False
                raise OSError(error.errno, error.strerror, OUTPUT) from error
            return len(data)


def _over(raw: io.FileIO, stream: TextIO) -> io.TextIOWrapper:
    """Wraps a stream so that unencodable characters are escaped."""
    return io.TextIOWrapper(
        io.BufferedWriter(raw),
        encoding=stream.encoding,
        errors="backslashreplace",
        line_buffering=True,
    )
