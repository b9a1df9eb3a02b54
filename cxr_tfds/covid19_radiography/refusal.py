"""How `tfds build` ends when it is given what cannot be built: in words, not in a stack trace."""

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
    """What a user gave or asked for cannot be built; the text says what was found and expected.

    Attributes:
        has_lines: the text lists faults, one on each line.
    """

    has_lines = True


class NothingToBuildError(RefusedError, FileNotFoundError):
    """There is nothing to build where it is looked for."""


class SystemRefusedError(RefusedError, OSError):
    """The operating system refused something: a full disk, no permission, a name too long."""


def first_line(error: BaseException) -> str:
    """What an error says, on one line; its type where it says nothing.

    Args:
      error: Any error.

    Returns:
      A clause, without a full stop.
    """
    return foreign_text.first_line(error).removesuffix(".")


def reason(error: OSError) -> str:
    """What the operating system refused, without Python's number of it.

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
    """While open, what the operating system refuses ends in one sentence.

    Args:
      what: What is being done, such as "build DATA/1.0.0".

    Raises:
      SystemRefusedError: It refused something.
    """
    try:
        yield
    except RefusedError:
        raise
    except OSError as error:
        raise SystemRefusedError(f"Cannot {what}: {reason(error)}.") from error
    except tf.errors.OpError as error:  # TensorFlow's file system has errors of its own.
        raise SystemRefusedError(f"Cannot {what}: {first_line(error)}.") from error


class _InWords(app.ExceptionHandler):
    """Ends a command that raises such an error; `tfds` itself would show where in the code."""

    def wants(self, exc: Exception) -> bool:
        return isinstance(exc, RefusedError) or _is_of_option(exc)

    def handle(self, exc: Exception) -> None:
        said = str(exc)
        if _is_of_option(exc):
            said = f"--config={exc.doc} is not JSON ({exc.msg}); expected such as {EXAMPLE}"
        if sys.stderr:  # None where somebody closed it: print would take stdout.
            print(f"error: {said}", file=sys.stderr, flush=True)
        # An exception raised here would be logged, and the first one shown.
        os._exit(ExitCode.MISTAKE)


def _is_of_option(error: Exception) -> TypeGuard[json.JSONDecodeError]:
    """Whether it is of the option --config, which TFDS decodes before it calls a builder."""
    return isinstance(error, json.JSONDecodeError) and any(
        word in (error.doc, f"--config={error.doc}") for word in sys.argv[1:]
    )


app.install_exception_handler(_InWords())
