"""Output directories: checked to be writable before the long work, never left half-written."""

import contextlib
import errno
import os
import pathlib
import tempfile
from collections.abc import Iterator

import tensorflow as tf

from cxr_command import stop_signals
from trainer.errors import UserError

# The operating system's message for a full disk, which TensorFlow's errors contain.
_FULL = os.strerror(errno.ENOSPC)


def require_writable(path: str | os.PathLike, flag: str) -> pathlib.Path:
    """Checks that a directory can be created and written to, without leaving anything behind.

    Args:
        path: the directory; it may exist.
        flag: the flag that named it, for the error message.

    Returns:
        The directory; it exists only if it did before.

    Raises:
        UserError: it cannot be created or written to, or its disk is full.
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
    """Creates a temporary directory inside another, from which finished files are moved.

    The temporary directory is removed on exit, including after an error, Ctrl-C, SIGTERM or SIGHUP.
    So is the parent directory if it was created here and nothing was moved to it.

    Args:
        directory: the parent directory, created if missing.
        prefix: prefix of the temporary directory's name.

    Yields:
        The temporary directory to write to.

    Raises:
        Terminated: SIGTERM or SIGHUP arrived inside the context.
    """
    with stop_signals.raising(), made(directory):
        with tempfile.TemporaryDirectory(prefix=prefix, dir=directory) as partial:
            yield pathlib.Path(partial)


def move_files(source: pathlib.Path, target: pathlib.Path) -> None:
    """Moves all files of a directory to another, each atomically, replacing existing files.

    Args:
        source: the directory; its sub-directories are created in the target.
        target: the directory to move to, on the same disk.

    Raises:
        UserError: a directory exists where a file would go, or a file where a directory would;
            nothing was moved.
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
    """Turns a failure to write results, such as a full disk, into a readable error.

    Args:
        directory: directory of the results.

    Raises:
        UserError: the code inside raised an `OSError`, or TensorFlow reported a full disk.
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
    """Creates the directory; on exit, removes the directories it created if they are empty."""
    missing = [path for path in (directory, *directory.parents) if not path.exists()]
    try:
        directory.mkdir(parents=True, exist_ok=True)
        yield directory
    finally:
        for path in missing:
            with contextlib.suppress(OSError):  # Not empty, or never created.
                path.rmdir()
