"""Folders of unfinished work, each with the mark of the process that fills it.

A process that is killed leaves its folder behind, at a dataset's size. The mark is a file that its
process holds locked; the system lets go of the lock when the process ends, however it ends. So the
next process can tell a folder that nobody will finish, which it removes, from one of a living
process, which it leaves alone. Where neither is certain the folder is named and left alone.
"""

import contextlib
import fcntl
import os
import pathlib
import shutil
import socket
import tempfile
from collections.abc import Iterator

from absl import logging

from . import paths

_MARK = ".owner"
# What machines are called that have no name of their own, or no boot number.
_NAMES_OF_MANY = {"localhost", "unknown"}
_BOOT = pathlib.Path("/proc/sys/kernel/random/boot_id")


@contextlib.contextmanager
def folder(parent: pathlib.Path, prefix: str) -> Iterator[pathlib.Path]:
    """Makes a marked folder that is removed when the context is left, and sweeps those before it.

    Args:
      parent: Where to make it.
      prefix: What its name begins with.

    Yields:
      The folder.
    """
    sweep(parent, prefix)
    with tempfile.TemporaryDirectory(prefix=prefix, dir=parent) as name:
        with marked(pathlib.Path(name)):
            yield pathlib.Path(name)


@contextlib.contextmanager
def marked(unfinished: pathlib.Path) -> Iterator[None]:
    """Marks a folder as this process's own while the context is open.

    Where the file system has no locks it stays without a mark.

    Args:
      unfinished: The folder.
    """
    # It gets its name once it is locked: a mark that is not locked is that of a dead process.
    early = unfinished / f"{_MARK}-{os.getpid()}"
    with early.open("w") as file:
        file.write(" ".join([str(os.getpid()), *_machine()]))
        file.flush()
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            mark = early.rename(unfinished / _MARK)
        except OSError:
            early.unlink()
            mark = early
        try:
            yield
        finally:
            mark.unlink(missing_ok=True)


def sweep(parent: pathlib.Path, prefix: str) -> dict[str, str]:
    """Removes the folders of processes that are gone, and says so in the log.

    Args:
      parent: Where they are; it need not exist.
      prefix: What their names begin with.

    Returns:
      The names of the folders whose processes live, and which processes these are.
    """
    living = {}
    for unfinished in parent.iterdir() if parent.is_dir() else ():
        if not unfinished.name.startswith(prefix) or not unfinished.is_dir():
            continue
        owner, lives = _owner(unfinished)
        if lives:
            living[unfinished.name] = owner
        elif lives is None:
            name = paths.printable(unfinished)
            logging.warning("%s is unfinished; %s: it was not removed.", name, owner)
        else:
            _remove(unfinished, owner)
    return living


def _machine() -> tuple[str, str]:
    """Two names of this machine: one outlives a restart, containers on it share the other."""
    return socket.gethostname(), _BOOT.read_text().strip() if _BOOT.exists() else "unknown"


def _owner(unfinished: pathlib.Path) -> tuple[str, bool | None]:
    """The process that marked a folder, and whether it lives; None if that cannot be told."""
    try:
        with (unfinished / _MARK).open("r+") as file:
            number, host, boot = file.read().split()
            owner = f"process {number} on {host}"
            # Shared, so that two processes that look at once do not take each other for the owner.
            fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return owner, True
    except (OSError, ValueError):
        return "it is not known whether its process still runs", None
    if ({host, boot} - _NAMES_OF_MANY).isdisjoint(
        _machine()
    ):  # Some network file systems lock for one machine.
        return f"whether {owner} still runs is not known on this host", None
    return owner, False


def _remove(unfinished: pathlib.Path, owner: str) -> None:
    files = (path.lstat().st_size for path in unfinished.rglob("*"))
    size = 0
    with contextlib.suppress(OSError):  # Another process removes it too.
        size = sum(files)
    shutil.rmtree(unfinished, ignore_errors=True)
    done = "could not be removed" if unfinished.exists() else "was removed"
    name = paths.printable(unfinished)
    logging.warning("%s of %s, which is gone, %s: %.1f MB.", name, owner, done, size / 1e6)
