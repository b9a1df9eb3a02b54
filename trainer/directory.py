"""Directories for results: proven writable before the long work starts, never left half-written."""

import contextlib
import errno
import os
import pathlib
import tempfile
from collections.abc import Iterator

import tensorflow as tf

from cxr_command import stop_signals
from trainer.errors import UserError

# What a full disk is called, by the system and so by TensorFlow.
_FULL = os.strerror(errno.ENOSPC)


def require_writable(path: str | os.PathLike, flag: str) -> pathlib.Path:
    """Proves that a directory can be made and written to, and leaves nothing of the proof behind.

    Args:
        path: the directory; it may exist.
        flag: the flag that named it, for the error's text.

    Returns:
        The directory; it exists if it did before.

    Raises:
        UserError: it cannot be made or written to, or its disk is full.
    """
    directory = pathlib.Path(path)
    try:
        with made(directory), tempfile.TemporaryFile(dir=directory) as probe:
            probe.write(b"room")
    except OSError as error:
        raise UserError(
            f"the directory {directory} cannot be written to ({error.strerror}); "
            f"give another --{flag}"
        ) from error
    return directory


@contextlib.contextmanager
def unfinished(directory: pathlib.Path, prefix: str = ".partial-") -> Iterator[pathlib.Path]:
    """Gives a directory inside another to write to, from which finished files are moved.

    It is gone at the end, be that an error, Ctrl-C, SIGTERM or SIGHUP; so is the other directory if
    it was made for this and nothing was moved to it.

    Args:
        directory: the other directory, made if missing.
        prefix: of the name inside it.

    Yields:
        The directory to write to.

    Raises:
        Terminated: SIGTERM or SIGHUP came while it was open.
    """
    with stop_signals.raising(), made(directory):
        with tempfile.TemporaryDirectory(prefix=prefix, dir=directory) as partial:
            yield pathlib.Path(partial)


def move_files(source: pathlib.Path, target: pathlib.Path) -> None:
    """Moves all files below a directory to another, each in one step; it replaces those there.

    Args:
        source: the directory; its sub-directories are made in the other.
        target: the other, on the same disk.

    Raises:
        UserError: a directory lies where a file is to go, or a file where a directory; nothing
            was moved.
    """
    moves = [(path, target / path.relative_to(source)) for path in sorted(source.rglob("*"))]
    for path, place in moves:
        if os.path.lexists(place) and path.is_dir() != place.is_dir():
            raise UserError(
                f"{place} is in the way, expected a {'directory' if path.is_dir() else 'file'} or "
                "nothing there; give another --output_dir"
            )
    for path, place in moves:
        if path.is_dir():
            place.mkdir(exist_ok=True)
        else:
            os.replace(path, place)


@contextlib.contextmanager
def writing_to(directory: pathlib.Path) -> Iterator[None]:
    """Turns a failure to write results, such as a full disk, into a sentence.

    Args:
        directory: of the results.

    Raises:
        UserError: what is inside raised an `OSError`, or TensorFlow met a full disk.
    """
    try:
        yield
    except OSError as error:
        raise UserError(
            f"{directory} could not be written ({error.strerror or error}); make room, then run "
            "the same command again"
        ) from error
    except tf.errors.OpError as error:
        if _FULL not in error.message:
            raise
        raise UserError(
            f"{directory} could not be written ({_FULL}); make room, then run the same command "
            "again"
        ) from error


@contextlib.contextmanager
def made(directory: pathlib.Path) -> Iterator[pathlib.Path]:
    """While open, the directory is there; what was made of it in vain is removed."""
    missing = [path for path in (directory, *directory.parents) if not path.exists()]
    try:
        directory.mkdir(parents=True, exist_ok=True)
        yield directory
    finally:
        for path in missing:
            with contextlib.suppress(OSError):  # It holds something, or could not be made.
                path.rmdir()
