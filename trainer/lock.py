"""A lock on a directory: one process at a time works there, however the one before it ended."""

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
# Who asks whether a directory is locked has the lock for a moment.
_TRIES, _SECONDS_BETWEEN_TRIES = 5, 0.05
# The errors of file systems without locks.
_UNSUPPORTED = (errno.ENOLCK, errno.ENOSYS, errno.EOPNOTSUPP, errno.EINVAL)


@contextlib.contextmanager
def locked(directory: pathlib.Path, advice: str) -> Iterator[None]:
    """While open, the directory is this process' alone; the system sees to it, even after SIGKILL.

    Args:
        directory: it exists.
        advice: what the user can do if another process has it, a clause.

    Raises:
        UserError: another process has it, the text says which; or it cannot be written to.
    """
    path = directory / _FILE
    file = _acquire(path, advice)
    try:
        _write_holder(file)
        yield
    finally:
        with contextlib.suppress(OSError):
            path.unlink()
        with contextlib.suppress(OSError):  # Closing writes once more what could not be written.
            file.close()


def is_locked(directory: pathlib.Path) -> bool | None:
    """Whether a process has the directory; None if that cannot be told."""
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
    """Locks a file until it is closed, where that is possible; whether no other process has it."""
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
    """Whether a file is still where it was opened, and not removed by the process before."""
    try:
        return os.path.samestat(os.fstat(file.fileno()), path.stat())
    except FileNotFoundError:
        return False


def _write_holder(file: TextIO) -> None:
    """Says who has the lock, for those who are refused."""
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
