"""Standard streams that outlive their readers: a terminal or pipe that closes costs no work."""

import errno
import io
import os
import sys
from collections.abc import Callable
from typing import Any, TextIO

# A pipe that nobody reads any more, and a terminal that is gone.
_READER_LEFT = (errno.EPIPE, errno.EIO)
# The name of the file in the error of what could not be written.
OUTPUT = "standard output"


def open_closed() -> None:
    """Lets those of the descriptors 0, 1 and 2 that are closed lead nowhere.

    Otherwise the next file that is opened, a checkpoint say, would be one of them, and get what
    TensorFlow writes to standard error.
    """
    for number, (name, mode) in enumerate([("stdin", "r"), ("stdout", "w"), ("stderr", "w")]):
        try:
            os.fstat(number)
        except OSError:
            os.open(os.devnull, os.O_RDWR)  # It takes the lowest free number, which is this one.
            os.set_inheritable(number, True)
            setattr(sys, name, open(number, mode, closefd=False))


def is_notebook() -> bool:
    """Whether a Jupyter kernel shows what is written to standard error."""
    return type(sys.stderr).__module__ == "ipykernel.iostream"


def outlive_readers(*, of_output: bool = True) -> None:
    """From here on, what is written to a stream whose reader has left is lost, and no error.

    Standard error is a log: no failure to write it ends anything, that of a full disk neither.

    Args:
        of_output: whether this holds of standard output. Otherwise the first failure to write it
            is an OSError that names `OUTPUT`, as one of another kind is in any case.
    """
    unheeded = _READER_LEFT if of_output else ()
    sys.stdout = _over(_Stream(1, lambda error: error.errno not in unheeded), sys.stdout)
    sys.stderr = _over(_Stream(2, lambda error: False), sys.stderr)


class _Stream(io.FileIO):
    """A stream whose failures are lost, unless they are heeded: the first such one is told."""

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
    """A stream like another, where no letter is one that cannot be written."""
    return io.TextIOWrapper(
        io.BufferedWriter(raw),
        encoding=stream.encoding,
        errors="backslashreplace",
        line_buffering=True,
    )
