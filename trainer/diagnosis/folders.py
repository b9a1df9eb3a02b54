"""Checks that a file system supports what caches and run directories need."""

import fcntl
import mmap
import os
import pathlib
import shutil
import tempfile
from collections.abc import Callable

import psutil

from trainer.diagnosis.finding import Finding, note, ok

_GIB = 2**30
_ROOM = 5 * _GIB


def try_folder(subject: str, folder: pathlib.Path, needs: str) -> Finding:
    """Writes, maps, locks, renames and removes a small file.

    Args:
        subject: purpose of the folder.
        folder: the folder; if it does not exist, its nearest existing parent is tested.
        needs: the flag or variable that sets it, for the remedy.
    """
    existing = next(path for path in (folder, *folder.absolute().parents) if path.is_dir())
    place = f"{folder} ({_kind(existing)})"
    try:
        with tempfile.TemporaryDirectory(dir=existing, prefix=".cxr-doctor-") as scratch:
            missing = [name for name, does in _TRIALS.items() if not _works(does, scratch)]
    except OSError as error:
        return note(
            subject,
            f"{place} cannot be written to ({error.strerror})",
            f"choose another for {needs}",
        )
    free = shutil.disk_usage(existing).free
    found = f"{place}, {free / _GIB:.1f} GiB free"
    if missing:
        return note(
            subject, f"{found}; it does not {' or '.join(missing)} files",
            f"choose a {needs} on another file system",
        )  # fmt: skip
    if free < _ROOM:
        return note(subject, found, "make room")
    return ok(subject, f"{found}; maps, locks and renames files")


def _works(does: Callable[[pathlib.Path], None], scratch: str) -> bool:
    try:
        does(pathlib.Path(scratch))
    except OSError:
        return False
    return True


def _map(folder: pathlib.Path) -> None:
    with (folder / "mapped").open("w+b") as file:
        file.write(b"x" * mmap.PAGESIZE)
        file.flush()
        mmap.mmap(file.fileno(), mmap.PAGESIZE, access=mmap.ACCESS_READ).close()


def _lock(folder: pathlib.Path) -> None:
    with (folder / "locked").open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)


def _rename(folder: pathlib.Path) -> None:
    for name in ("new", "old"):
        (folder / name).write_text(name)
    os.replace(folder / "new", folder / "old")


_TRIALS = {"map": _map, "lock": _lock, "rename": _rename}


def _kind(folder: pathlib.Path) -> str:
    """Returns the type of the file system of a folder, such as ext4 or nfs4."""
    mounts = {part.mountpoint: part.fstype for part in psutil.disk_partitions(all=True)}
    above = map(str, (folder.absolute(), *folder.absolute().parents))
    return next((mounts[path] for path in above if path in mounts), "file system not known")
