"""Temporary folders, each marked by the process that fills it.

A killed process leaves its folder behind, which may have the size of a dataset. The mark is a file
locked by its process; the operating system releases the lock when the process ends for any reason.
The next process can therefore remove abandoned folders and leave those of running processes alone.
If the state is unknown, the folder is reported and kept.
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
# Names shared by machines that have no host name or boot id of their own.
_NAMES_OF_MANY = {"localhost", "unknown"}
_BOOT = pathlib.Path("/proc/sys/kernel/random/boot_id")


@contextlib.contextmanager
def folder(parent: pathlib.Path, prefix: str) -> Iterator[pathlib.Path]:
    """Creates a marked folder, removed on exit, and removes abandoned ones.

    Args:
      parent: The parent folder.
      prefix: The prefix of its name.

    Yields:
      The folder.
    """
    sweep(parent, prefix)
    with tempfile.TemporaryDirectory(prefix=prefix, dir=parent) as name:
        with marked(pathlib.Path(name)):
            yield pathlib.Path(name)


@contextlib.contextmanager
def marked(unfinished: pathlib.Path) -> Iterator[None]:
    """Marks a folder as being filled by this process.

    On a file system without locks the folder is not marked.

    Args:
      unfinished: The folder.
    """
    # It is renamed after it is locked: a mark without a lock is that of a dead process.
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
    """Removes the folders of dead processes, and logs it.

    Args:
      parent: The parent folder, which need not exist.
      prefix: The prefix of their names.

    Returns:
      The names of the folders of running processes, with those processes.
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
    """Returns two names of this machine: one survives a reboot, containers share the other."""
    return socket.gethostname(), _BOOT.read_text().strip() if _BOOT.exists() else "unknown"


def _owner(unfinished: pathlib.Path) -> tuple[str, bool | None]:
    """Returns the process that marked a folder, and whether it is running; None if unknown."""
    try:
        with (unfinished / _MARK).open("r+") as file:
            number, host, boot = file.read().split()
            owner = f"process {number} on {host}"
            # A shared lock, so that two simultaneous checks do not mistake each other for the
            # owner.
            fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return owner, True
    except (OSError, ValueError):
        return "it is not known whether its process still runs", None
    if ({host, boot} - _NAMES_OF_MANY).isdisjoint(
        _machine()
    ):  # Some network file systems only lock within one machine.
        return f"whether {owner} still runs is not known on this host", None
    return owner, False


def _remove(unfinished: pathlib.Path, owner: str) -> None:
    files = (path.lstat().st_size for path in unfinished.rglob("*"))
    size = 0
    with contextlib.suppress(OSError):  # Another process may remove it, too.
        size = sum(files)
    shutil.rmtree(unfinished, ignore_errors=True)
    done = "could not be removed" if unfinished.exists() else "was removed"
    name = paths.printable(unfinished)
    logging.warning("%s of %s, which is gone, %s: %.1f MB.", name, owner, done, size / 1e6)
