"""How `tfds build` ends when it is given what cannot be built: in words, not in a stack trace."""

import os
import sys

from absl import app

_EXIT_CODE = 2


class RefusedError(Exception):
    """What a user gave or asked for cannot be built; the text says what was found and expected."""


class _InWords(app.ExceptionHandler):
    """Ends a command that raises such an error; `tfds` itself would show where in the code."""

    def wants(self, exc: Exception) -> bool:
        return isinstance(exc, RefusedError)

    def handle(self, exc: Exception) -> None:
        print(f"error: {exc}", file=sys.stderr, flush=True)
        os._exit(_EXIT_CODE)  # An exception raised here would be logged, and the first one shown.


app.install_exception_handler(_InWords())
