"""One boundary around readers of files: whatever they raise becomes a sentence for the user."""

import contextlib
import errno
import os
from collections.abc import Iterator

from cxr_command.foreign_text import first_line
from trainer.errors import Damaged, Unreadable, UserError
from trainer.memory import is_of_memory

# TensorFlow's errors, which is not imported here, that are the machine's and no file's: a GPU that
# another program has filled or that was lost.
_OF_THE_MACHINE = {
    "AbortedError", "CancelledError", "DeadlineExceededError", "FailedPreconditionError",
    "InternalError", "ResourceExhaustedError", "UnavailableError", "UnknownError",
}  # fmt: skip


@contextlib.contextmanager
def parsing(path: str | os.PathLike, advice: str) -> Iterator[None]:
    """While open, reading a file raises errors that say which file, what was found, what to do.

    Parsers raise a dozen types: `KeyError`, `struct.error`, `zlib.error`, `RecursionError`. A lack
    of memory, a GPU's too, says nothing of the file and stays what it is.

    Args:
        path: the file.
        advice: what the user can do, a clause.

    Raises:
        Unreadable: the system could not read it; it may be whole.
        Damaged: it was read and is not what it should be, or it is missing.
        UserError: there can be no file of so long a name.
    """
    try:
        yield
    except UserError:
        raise
    except FileNotFoundError as error:
        raise Damaged(f"there is no {path}; {advice}") from error
    except OSError as error:
        # The parser's own errors are OSErrors too, in h5py and Pillow: without a number.
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
    """What to raise where the system could not read something that may be whole.

    Args:
        what: a file, or what was read from files.
        said: what the system said of it.
    """
    return Unreadable(
        f"{what} cannot be read ({said}) and may be whole; nothing was changed: run the same "
        "command again once it can be"
    )
