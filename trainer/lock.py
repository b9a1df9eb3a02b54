"""A lock on a directory: one process at a time, released however that process ends."""

import contextlib
import datetime
import errno
import fcntl
import json
import os
import pathlib
import socket
import time
from collections.abc import Iterator
from typing import TextIO

from absl import logging

from cxr_command.foreign_text import first_line
from trainer.errors import UserError
from trainer.json_file import integer, moment, read_object, text

_FILE = "lock"
_HOLDER = {"host": text(), "process_id": integer(1), "started": moment()}
# A process that checks whether a directory is locked holds the lock for a moment.
_TRIES, _SECONDS_BETWEEN_TRIES = 5, 0.05
# The errors of file systems that do not support locks.
_UNSUPPORTED = (errno.ENOLCK, errno.ENOSYS, errno.EOPNOTSUPP, errno.EINVAL)


@contextlib.contextmanager
def locked(directory: pathlib.Path, advice: str) -> Iterator[None]:
    """Locks a directory for this process; the operating system releases it even after SIGKILL.

    Args:
        directory: an existing directory.
        advice: what the user can do if another process holds the lock, as a clause.

    Raises:
        UserError: another process, which the message names, holds the lock, or the directory is not
            writable.
    """
    path = directory / _FILE
    file = _acquire(path, advice)
    try:
        _write_holder(file)
        yield
    finally:
        with contextlib.suppress(OSError):
            path.unlink()
        with contextlib.suppress(OSError):  # Closing retries the write that failed.
            file.close()


def is_locked(directory: pathlib.Path) -> bool | None:
    """Whether a process holds the lock; None if that cannot be determined."""
    try:
        with (directory / _FILE).open() as file:
            fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except FileNotFoundError:
        return False
    except BlockingIOError:
        return True
    except OSError:
        return None
    return False


def _acquire(path: pathlib.Path, advice: str) -> TextIO:
    for _ in range(_TRIES):
        file = _open(path)
        if lock_file(file) and _is_at(file, path):
            return file
        file.close()
        time.sleep(_SECONDS_BETWEEN_TRIES)
    raise UserError(f"{path.parent} is in use by {_holder(path)}; {advice}")


def _open(path: pathlib.Path) -> TextIO:
    try:
        return path.open("a")
    except OSError as error:
        raise UserError(
            f"{path} cannot be opened ({error.strerror}); check that you have write permission"
        ) from error


def lock_file(file: TextIO) -> bool:
    """Locks a file until it is closed, if possible; False if another process holds the lock."""
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except OSError as error:
        if error.errno not in _UNSUPPORTED:
            raise UserError(f"{file.name} cannot be locked ({error.strerror})") from error
        logging.warning(
            "%s cannot be locked (%s): make sure that no other process uses it",
            file.name, error.strerror,
        )  # fmt: skip
    return True


def _is_at(file: TextIO, path: pathlib.Path) -> bool:
    """Whether a file still exists at its path and was not removed by the previous process."""
    try:
        return os.path.samestat(os.fstat(file.fileno()), path.stat())
    except FileNotFoundError:
        return False


def _write_holder(file: TextIO) -> None:
    """Writes the holder of the lock to the file, for the error message of other processes."""
    holder = {
        "host": socket.gethostname(),
        "process_id": os.getpid(),
        "started": datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
    }
    try:
        file.truncate(0)
        file.write(json.dumps(holder) + "\n")
        file.flush()
    except OSError as error:
        raise UserError(
            f"{file.name} could not be written ({first_line(error)}); make room, then run the same "
            "command again"
        ) from error


def _holder(path: pathlib.Path) -> str:
    try:
        holder = read_object(path, _HOLDER, "remove it")
    except UserError:
        return "another process"
    return f"process {holder['process_id']} on {holder['host']}, since {holder['started']}"
