"""A directory for results, proven writable before the long work starts."""

import os
import pathlib

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
