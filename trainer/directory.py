"""A directory for results: proven writable before the long work starts, a failure told after it."""

import contextlib
import os
import pathlib
from collections.abc import Iterator

from trainer.errors import UserError


def make_writable(path: str | os.PathLike, flag: str) -> pathlib.Path:
    """Makes a directory and proves that it can be written to.

    Args:
        path: the directory; it may exist.
        flag: the flag that named it, for the error's text.

    Returns:
        The directory.

    Raises:
        UserError: it cannot be made or written to.
    """
    directory = pathlib.Path(path)
    probe = directory / ".writable"
    try:
        directory.mkdir(parents=True, exist_ok=True)
        probe.touch()
        probe.unlink()
    except OSError as error:
        raise UserError(
            f"the directory {directory} cannot be written to ({error.strerror}); "
            f"give another --{flag}"
        ) from error
    return directory


@contextlib.contextmanager
def writing_to(directory: pathlib.Path) -> Iterator[None]:
    """Turns a failure to write results, such as a full disk, into a sentence.

    Args:
        directory: of the results.

    Raises:
        UserError: what is inside raised an `OSError`.
    """
    try:
        yield
    except OSError as error:
        raise UserError(
            f"{directory} could not be written ({error.strerror or error}); make room, then run "
            "the same command again"
        ) from error
