"""Standard streams that outlive their readers: a terminal or pipe that closes costs no work."""

import errno
import io
import os
import sys
from typing import Any, TextIO

# A pipe that nobody reads any more, and a terminal that is gone.
_READER_LEFT = (errno.EPIPE, errno.EIO)


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


def outlive_readers() -> None:
    """From here on, what is written to a stream whose reader has left is lost, and no error.

    Standard error is a log: no failure to write it ends anything, that of a full disk neither.
    """
    sys.stdout = _over(_Output(1, "w", closefd=False), sys.stdout)
    sys.stderr = _over(_Log(2, "w", closefd=False), sys.stderr)


class _Output(io.FileIO):
    """Results; a reader that has left wants no more of them, another failure is told once."""

    _is_told = False

    def write(self, data: Any) -> int:
        try:
            return super().write(data)
        except OSError as error:
            if error.errno not in _READER_LEFT and not self._is_told:
                self._is_told = True
                raise OSError(error.errno, error.strerror, "standard output") from error
            return len(data)


class _Log(io.FileIO):
    """What is said on the way."""

    def write(self, data: Any) -> int:
        try:
            return super().write(data)
        except OSError:
            return len(data)


def _over(raw: io.FileIO, stream: TextIO) -> io.TextIOWrapper:
    """A stream like another, where no letter is one that cannot be written."""
    return io.TextIOWrapper(
        io.BufferedWriter(raw),
        encoding=stream.encoding,
        errors="backslashreplace",
        line_buffering=True,
    )
