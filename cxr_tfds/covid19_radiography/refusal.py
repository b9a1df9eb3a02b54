"""Errors of `tfds build` that are shown as messages instead of stack traces."""

import contextlib
import json
import os
import sys
from collections.abc import Iterator
from typing import TypeGuard

from absl import app
from tensorflow_datasets.core.utils.lazy_imports_utils import tensorflow as tf

from cxr_command import foreign_text
from cxr_command.exit_codes import ExitCode

EXAMPLE = '--config=\'{"name": "external", "test_sites": ["North", "South"]}\''


class RefusedError(Exception):
    """The user's input cannot be built; the message says what was found and expected.

    Attributes:
        has_lines: whether the message lists faults, one per line.
    """

    has_lines = True


class NothingToBuildError(RefusedError, FileNotFoundError):
    """There is nothing to build in the expected place."""


class SystemRefusedError(RefusedError, OSError):
    """An operation failed in the operating system: disk full, permission denied, name too long."""


def first_line(error: BaseException) -> str:
    """Returns an error's message on one line; its type if the message is empty.

    Args:
      error: Any error.

    Returns:
      A clause, without a full stop.
    """
    return foreign_text.first_line(error).removesuffix(".")


def reason(error: OSError) -> str:
    """Returns the operating system's message, without Python's errno.

    Args:
      error: The error.

    Returns:
      A clause, without a full stop.
    """
    if not error.strerror:
        return first_line(error)
    return error.strerror + (f": {error.filename}" if error.filename else "")


@contextlib.contextmanager
def in_words(what: str) -> Iterator[None]:
    """Converts errors of the operating system to a one-line message.

    Args:
      what: The current operation, such as "build DATA/1.0.0".

    Raises:
      SystemRefusedError: The operating system reported an error.
    """
    try:
        yield
    except RefusedError:
        raise
    except OSError as error:
        raise SystemRefusedError(f"Cannot {what}: {reason(error)}.") from error
    except tf.errors.OpError as error:  # TensorFlow's file system has its own errors.
        raise SystemRefusedError(f"Cannot {what}: {first_line(error)}.") from error


class _InWords(app.ExceptionHandler):
    """Ends a command with the message of such an error; `tfds` would show a stack trace."""

    def wants(self, exc: Exception) -> bool:
        return isinstance(exc, RefusedError) or _is_of_option(exc)

    def handle(self, exc: Exception) -> None:
        said = str(exc)
        if _is_of_option(exc):
            said = f"--config={exc.doc} is not JSON ({exc.msg}); expected such as {EXAMPLE}"
        if sys.stderr:  # None if it is closed: print would use stdout.
            print(f"error: {said}", file=sys.stderr, flush=True)
        # An exception raised here would be logged, and the first one displayed.
        os._exit(ExitCode.MISTAKE)


def _is_of_option(error: Exception) -> TypeGuard[json.JSONDecodeError]:
    """Whether the error is in the option --config, which TFDS decodes before it calls a builder."""
    return isinstance(error, json.JSONDecodeError) and any(
        word in (error.doc, f"--config={error.doc}") for word in sys.argv[1:]
    )


app.install_exception_handler(_InWords())
