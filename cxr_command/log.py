"""The log of a command: lines with the time and the message."""

import logging as python_logging
import os
import pathlib
import sys

from absl import logging

from cxr_command.foreign_text import one_line
from cxr_command.standard_streams import is_notebook

# Packages of this project, whose messages are shown; libraries only log errors.
_PACKAGES = ("benchmarks", "cxr_command", "cxr_tfds", "launch", "trainer")
_FOLDERS = tuple(f"{pathlib.Path(__file__).parents[1] / name}{os.sep}" for name in _PACKAGES)


def set_up() -> None:
    """Logs the time and the message; libraries only log errors."""
    logging.use_absl_handler()
    logging.set_verbosity(logging.INFO)
    handler = logging.get_absl_handler()
    handler.python_handler.setStream(sys.stderr)
    _choose_lines(handler)


def set_up_for_notebook() -> None:
    """Enables the same log outside a command: in a notebook, or a script without a log.

    absl's own handler would complain about unparsed flags.
    """
    logger = logging.get_absl_logger()
    if logger.handlers or (logger.hasHandlers() and not is_notebook()):
        return
    logging.set_verbosity(logging.INFO)
    handler = python_logging.StreamHandler(sys.stderr)
    logger.addHandler(handler)
    logger.propagate = False  # Libraries add handlers to the root logger.
    _choose_lines(handler)


def _choose_lines(handler: python_logging.Handler) -> None:
    handler.setFormatter(_OneLine("%(asctime)s %(message)s", "%H:%M:%S"))
    handler.addFilter(_is_worth_showing)
    python_logging.getLogger("tensorflow").setLevel(python_logging.ERROR)


def _is_worth_showing(record: python_logging.LogRecord) -> bool:
    return record.levelno >= python_logging.ERROR or record.pathname.startswith(_FOLDERS)


class _OneLine(python_logging.Formatter):
    """Escapes names of files and classes that would end a line or move the cursor."""

    def formatMessage(self, record: python_logging.LogRecord) -> str:
        record.message = one_line(record.message)
        return super().formatMessage(record)
