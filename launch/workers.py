"""The worker processes of one start of a job on this machine."""

import ctypes
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Sequence
from typing import IO

from trainer.errors import Preempted, UserError, WorkerLost

_POLL_SECONDS = 0.1
# linux/prctl.h: the signal that a process gets when the one that started it dies.
_PR_SET_PDEATHSIG = 1


class Workers:
    """Processes that run one command together: if one fails, all are ended."""

    def __init__(self, grace: float) -> None:
        """Starts nothing yet.

        Args:
            grace: seconds between asking a process to end and killing it.
        """
        self._grace = grace
        self._processes: list[subprocess.Popen] = []
        self._talkers: list[threading.Thread] = []

    def start(self, command: Sequence[str], environments: Sequence[dict[str, str]]) -> None:
        """Starts one worker for each environment.

        Args:
            command: the words of the command.
            environments: variables of each worker, on top of this process' own.

        Raises:
            UserError: the command cannot be started.
        """
        for index, environment in enumerate(environments):
            try:
                process = _start(command, os.environ | environment)
            except OSError as error:
                self.kill()
                raise UserError(f"{command[0]} could not be started: {error.strerror}") from error
            self._processes.append(process)
            talker = threading.Thread(target=_pass_on, args=(process.stdout, f"[worker {index}] "))
            talker.start()
            self._talkers.append(talker)

    def wait(self) -> tuple[int, str]:
        """Waits until all have ended; ends the others once one has failed.

        Returns:
            The exit code of the failure that came first, as a shell gives it (128 + N for a
            process ended by signal N), 0 if there is none, and a sentence that says which it was.
        """
        while not self._failures() and self._running():
            time.sleep(_POLL_SECONDS)
        failures = self._failures()
        code, said = 0, "all workers are done"
        if failures:
            # A worker that lost another is not the cause, where the lost one is known too.
            first = min(failures, key=lambda index: failures[index] == WorkerLost.exit_code)
            code, said = _shell_code(failures[first]), f"worker {first} {_say(failures[first])}"
            self._end_others(failures[first])
        for talker in self._talkers:
            talker.join()
        return code, said

    def ask_to_stop(self) -> None:
        """Sends SIGTERM to all that run: the trainer makes a checkpoint and stops."""
        for process in self._running():
            process.terminate()

    def kill(self) -> None:
        """Kills all that run."""
        for process in self._running():
            process.kill()

    def _running(self) -> list[subprocess.Popen]:
        return [process for process in self._processes if process.poll() is None]

    def _failures(self) -> dict[int, int]:
        codes = [process.poll() for process in self._processes]
        return {index: code for index, code in enumerate(codes) if code}

    def _end_others(self, code: int) -> None:
        # Workers that were asked to stop come to their end by themselves, after a checkpoint.
        if code == Preempted.exit_code:
            self._wait_for_all()
        self.ask_to_stop()
        self._wait_for_all()
        self.kill()

    def _wait_for_all(self) -> None:
        until = time.monotonic() + self._grace
        while self._running() and time.monotonic() < until:
            time.sleep(_POLL_SECONDS)


def _start(command: Sequence[str], environment: dict[str, str]) -> subprocess.Popen:
    return subprocess.Popen(  # noqa: S603
        command,
        env=environment,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        # Signals of the terminal are passed on by this process, once.
        start_new_session=True,
        preexec_fn=_die_with_parent,
    )


def _die_with_parent() -> None:
    """Without it workers would train on after their launcher was killed, beside a second start."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)


def _pass_on(lines: IO[bytes], prefix: str) -> None:
    for line in lines:
        sys.stderr.write(prefix + line.decode(errors="replace"))
        sys.stderr.flush()


def _say(code: int) -> str:
    if code < 0:
        return f"was ended by {signal.Signals(-code).name}"
    return f"ended with exit code {code}"


def _shell_code(code: int) -> int:
    return code if code >= 0 else 128 - code
