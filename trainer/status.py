"""How a run stands: status.json, who writes it, and whether that process still lives."""

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
# Of a run whose training ended by an error, by the exit code of that.
_ENDED = {
    ExitCode.DIVERGED: "diverged",
    ExitCode.PREEMPTED: "preempted",
    ExitCode.TERMINATED: "preempted",
}
STATES = (RUNNING, DONE, *dict.fromkeys(_ENDED.values()), FAILED)
# What readers say of a run that is `running`, by a process that is gone.
STALE = "stale"
# Of another host's process, whose lock may not be seen here. Longer than steps, validation and
# compilation keep a process from giving a sign.
STALE_AFTER_SECONDS = 1800
_SECONDS_BETWEEN_SIGNS = 5.0
_FIELDS = {
    "status": text(*STATES),
    "best_epoch": integer(1).or_none(),
    "best_validation_loss": number().or_none(),
    # Earlier versions wrote no more.
    "error": text().or_none().if_given(),
    "host": text().if_given(),
    "process_id": integer(1).if_given(),
    "last_sign_of_life": moment().if_given(),
}


class Status:
    """The status of one run."""

    def __init__(self, path: pathlib.Path, write: Callable[[str], None]) -> None:
        """Names its file; reads and writes nothing.

        Args:
            path: of status.json, in the run's directory.
            write: writes its content, whole or not at all.
        """
        self._path, self._write = path, write
        self._written: dict[str, Any] = {}
        self._written_at = 0.0

    def read(self, advice: str) -> dict[str, Any]:
        """The content of the file; empty if the run has not started.

        Args:
            advice: what the user can do if it is damaged, a clause.

        Raises:
            Unreadable: the system could not read it.
            Damaged: it is something else.
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
            error: why the run has ended before it was done.
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
        """Says that the run is trained; what is known of its best epoch stays."""
        before: dict[str, Any] = {}
        try:
            before = self.read("it is rewritten")
        except Damaged as damage:
            logging.warning("%s", damage)
        self.write(RUNNING, before.get("best_epoch"), before.get("best_validation_loss"))

    def show_life(self) -> None:
        """Writes the time of the last sign of life, unless the last one is only seconds old.

        A failure is logged: if there is no room, the next checkpoint will say so.
        """
        if self._written and time.monotonic() - self._written_at > _SECONDS_BETWEEN_SIGNS:
            self._write_or_log(self._written)

    @contextlib.contextmanager
    def end_recorded(self) -> Iterator[None]:
        """While open, an error that ends a training that has begun is written down."""
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
        except Exception as error:  # Another one may be under way, which this must not hide.
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
    """How a training stands that an error has ended; one of `STATES`."""
    return _ENDED.get(getattr(error, "exit_code", ExitCode.MISTAKE), FAILED)


def state_of(status: dict[str, Any], directory: pathlib.Path) -> str:
    """How a run stands, as far as can be told from here.

    Args:
        status: what `Status.read` gave, not empty.
        directory: the run's.

    Returns:
        One of `STATES`, or `STALE`.
    """
    state = status["status"]
    # Earlier versions did not say who writes.
    if state != RUNNING or "process_id" not in status or _lives(status, directory):
        return state
    return STALE


def seconds_since_sign(status: dict[str, Any]) -> float | None:
    """How old the last sign of life is; None if none was written."""
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
    # On some network file systems a lock is seen on its own host alone.
    age = seconds_since_sign(status)
    return age is not None and age < STALE_AFTER_SECONDS


def _sentence(error: BaseException) -> str:
    """What an error says; with its type, unless it is one of `trainer.errors`."""
    name, said = type(error).__name__, first_line(error)
    return said if hasattr(error, "exit_code") or said == name else f"{name}: {said}"
