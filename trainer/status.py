"""The state of a run: status.json, who writes it, and whether that process is still alive."""

import contextlib
import datetime
import json
import os
import pathlib
import socket
import time
from collections.abc import Callable, Iterator
from typing import Any

import psutil
from absl import logging

from cxr_command.exit_codes import ExitCode
from cxr_command.foreign_text import first_line
from trainer.errors import Damaged
from trainer.json_file import integer, moment, number, read_object, text
from trainer.lock import is_locked

RUNNING, DONE, FAILED = "running", "done", "failed"
# The state of a run whose training ended with an error, by exit code.
_ENDED = {
    ExitCode.DIVERGED: "diverged",
    ExitCode.PREEMPTED: "preempted",
    ExitCode.TERMINATED: "preempted",
}
STATES = (RUNNING, DONE, *dict.fromkeys(_ENDED.values()), FAILED)
# The state shown for a run marked `running` whose process is gone.
STALE = "stale"
# Applies to processes of another host, whose lock may not be visible here. Longer than a step,
# validation or compilation, during which a process gives no sign of life.
STALE_AFTER_SECONDS = 1800
_SECONDS_BETWEEN_SIGNS = 5.0
_FIELDS = {
    "status": text(*STATES),
    "best_epoch": integer(1).or_none(),
    "best_validation_loss": number().or_none(),
    # Files of earlier versions lack the following fields.
    "error": text().or_none().if_given(),
    "host": text().if_given(),
    "process_id": integer(1).if_given(),
    "last_sign_of_life": moment().if_given(),
}


class Status:
    """The status of one run."""

    def __init__(self, path: pathlib.Path, write: Callable[[str], None]) -> None:
        """Stores the path; reads and writes nothing.

        Args:
            path: path of status.json in the run's directory.
            write: writes the file's content atomically.
        """
        self._path, self._write = path, write
        self._written: dict[str, Any] = {}
        self._written_at = 0.0

    def read(self, advice: str) -> dict[str, Any]:
        """Returns the content of the file; empty if the run has not started.

        Args:
            advice: what the user can do if the file is damaged, as a clause.

        Raises:
            Unreadable: the operating system could not read the file.
            Damaged: the content is invalid.
        """
        return read_object(self._path, _FIELDS, advice) if self._path.exists() else {}

    def write(
        self,
        state: str,
        best_epoch: int | None,
        best_loss: float | None,
        error: str | None = None,
    ) -> None:
        """Writes the file.

        Args:
            state: one of `STATES`.
            best_epoch: the epoch of the lowest validation loss, counted from 1.
            best_loss: that loss.
            error: why the run ended early.
        """
        self._write_with_sign(
            {
                "status": state,
                "best_epoch": best_epoch,
                "best_validation_loss": best_loss,
                "error": error,
            }
        )

    def begin(self) -> None:
        """Marks the run as running; the record of its best epoch is kept."""
        before: dict[str, Any] = {}
        try:
            before = self.read("it is rewritten")
        except Damaged as damage:
            logging.warning("%s", damage)
        self.write(RUNNING, before.get("best_epoch"), before.get("best_validation_loss"))

    def show_life(self) -> None:
        """Writes the time of the last sign of life, unless the last one is only seconds old.

        A failure is only logged: if the disk is full, the next checkpoint will report it.
        """
        if self._written and time.monotonic() - self._written_at > _SECONDS_BETWEEN_SIGNS:
            self._write_or_log(self._written)

    @contextlib.contextmanager
    def end_recorded(self) -> Iterator[None]:
        """Records an error that ends a training after it has begun."""
        try:
            yield
        except BaseException as error:
            if self._written.get("status") == RUNNING:
                state = state_after(error)
                self._write_or_log(self._written | {"status": state, "error": _sentence(error)})
            raise

    def _write_or_log(self, content: dict[str, Any]) -> None:
        try:
            self._write_with_sign(content)
        except Exception as error:  # Must not hide an exception that is already propagating.
            logging.error("%s", first_line(error))

    def _write_with_sign(self, content: dict[str, Any]) -> None:
        self._written_at = time.monotonic()
        self._written = content | {
            "host": socket.gethostname(),
            "process_id": os.getpid(),
            "last_sign_of_life": datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
        }
        self._write(json.dumps(self._written, indent=2) + "\n")


def state_after(error: BaseException) -> str:
    """Returns the state, one of `STATES`, of a training that ended with an error."""
    return _ENDED.get(getattr(error, "exit_code", ExitCode.MISTAKE), FAILED)


def state_of(status: dict[str, Any], directory: pathlib.Path) -> str:
    """Determines the state of a run, as far as possible from this host.

    Args:
        status: the result of `Status.read`, not empty.
        directory: the run's directory.

    Returns:
        One of `STATES`, or `STALE`.
    """
    state = status["status"]
    # Files of earlier versions do not name the writing process.
    if state != RUNNING or "process_id" not in status or _lives(status, directory):
        return state
    return STALE


def seconds_since_sign(status: dict[str, Any]) -> float | None:
    """Returns the age of the last sign of life; None if none was written."""
    if "last_sign_of_life" not in status:
        return None
    then = datetime.datetime.fromisoformat(status["last_sign_of_life"])
    return (datetime.datetime.now(datetime.UTC) - then).total_seconds()


def _lives(status: dict[str, Any], directory: pathlib.Path) -> bool:
    locked = is_locked(directory)
    if locked:
        return True
    if status.get("host") == socket.gethostname():
        return locked is None and psutil.pid_exists(status["process_id"])
    # On some network file systems a lock is visible on its own host only.
    age = seconds_since_sign(status)
    return age is not None and age < STALE_AFTER_SECONDS


def _sentence(error: BaseException) -> str:
    """Returns an error's message, prefixed by its type unless it is from `trainer.errors`."""
    name, said = type(error).__name__, first_line(error)
    return said if hasattr(error, "exit_code") or said == name else f"{name}: {said}"
