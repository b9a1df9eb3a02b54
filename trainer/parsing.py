"""One boundary around readers of files: whatever they raise becomes a sentence for the user."""

import contextlib
import errno
import os
from collections.abc import Iterator

from cxr_command.foreign_text import first_line
from trainer.errors import Damaged, Unreadable, UserError


@contextlib.contextmanager
def parsing(path: str | os.PathLike, advice: str) -> Iterator[None]:
    """While open, reading a file raises errors that say which file, what was found, what to do.

    Parsers raise a dozen types: `KeyError`, `struct.error`, `zlib.error`, `RecursionError`. A lack
    of memory says nothing of the file and stays what it is.

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
    except (MemoryError, UserError):
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
        raise Unreadable(
            f"{path} cannot be read ({error.strerror}) and may be whole; nothing was changed: run "
            "the same command again once it can be"
        ) from error
    except Exception as error:
        if type(error).__name__ == "ResourceExhaustedError":  # TensorFlow's, not imported here.
            raise MemoryError(first_line(error)) from error
        raise Damaged(f"{path} is damaged ({first_line(error)}); {advice}") from error
