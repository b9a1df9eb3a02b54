"""One context manager around all file readers: their errors become readable messages."""

import contextlib
import errno
import os
from collections.abc import Iterator

from cxr_command.foreign_text import first_line
from trainer.errors import Damaged, Unreadable, UserError
from trainer.memory import is_of_memory

# Errors of TensorFlow (not imported here) that concern the machine and not a file, such as a GPU
# that is lost or whose memory another program has filled.
_OF_THE_MACHINE = {
    "AbortedError", "CancelledError", "DeadlineExceededError", "FailedPreconditionError",
    "InternalError", "ResourceExhaustedError", "UnavailableError", "UnknownError",
}  # fmt: skip


@contextlib.contextmanager
def parsing(path: str | os.PathLike, advice: str) -> Iterator[None]:
    """Converts any error raised while reading a file into one that names the file and a remedy.

    Parsers raise a dozen types: `KeyError`, `struct.error`, `zlib.error`, `RecursionError`. A lack
    of memory, on the host or a GPU, says nothing about the file and is passed through.

    Args:
        path: the file.
        advice: what the user can do, as a clause.

    Raises:
        Unreadable: the operating system could not read the file; it may be intact.
        Damaged: the file is missing, or its content is invalid.
        UserError: the name is too long for the file system.
    """
    try:
        yield
    except UserError:
        raise
    except FileNotFoundError as error:
        raise Damaged(f"there is no {path}; {advice}") from error
    except OSError as error:
        # h5py and Pillow also raise OSError for parsing errors, but without an errno.
        if error.errno is None:
            raise Damaged(f"{path} is damaged ({first_line(error)}); {advice}") from error
        if error.errno == errno.ENAMETOOLONG:
            raise UserError(
                f"{path} cannot be used ({error.strerror}); give another path"
            ) from error
        raise unreadable(path, error.strerror or first_line(error)) from error
    except Exception as error:
        if is_of_memory(error):
            raise
        if type(error).__name__ in _OF_THE_MACHINE:
            raise unreadable(path, first_line(error)) from error
        raise Damaged(f"{path} is damaged ({first_line(error)}); {advice}") from error


def unreadable(what: str | os.PathLike, said: str) -> Unreadable:
    """Creates the error for data that could not be read but may be intact.

    Args:
        what: the file, or the kind of data read from files.
        said: the system's error message.
    """
    return Unreadable(
        f"{what} cannot be read ({said}) and may be whole; nothing was changed: run the same "
        "command again once it can be"
    )
