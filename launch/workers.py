"""The processes of one start of a job on this machine."""

import ctypes
import dataclasses
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


@dataclasses.dataclass(frozen=True)
class _Member:
    """A process of the job, what it is called, and the thread that passes on what it says."""

    name: str
    serves: bool
    process: subprocess.Popen
    talker: threading.Thread

    @property
    def runs(self) -> bool:
        return self.process.poll() is None

    @property
    def failed(self) -> bool:
        return not self.runs and (self.serves or self.process.returncode != 0)


class Workers:
    """Processes that work together: if one fails, all are ended."""

    def __init__(self, grace: float) -> None:
        """Starts nothing yet.

        Args:
            grace: seconds between asking a process to end and killing it.
        """
        self._grace = grace
        self._members: list[_Member] = []

    def start(
        self,
        name: str,
        command: Sequence[str],
        environment: dict[str, str],
        *,
        serves: bool = False,
    ) -> None:
        """Starts a process.

        Args:
            name: what it is called in the log.
            command: the words of its command.
            environment: its variables, on top of this process' own.
            serves: whether it serves the others, and is to run until they are done.

        Raises:
            UserError: the command cannot be started.
        """
        try:
            process = _start(command, os.environ | environment)
        except OSError as error:
            self.kill()
            raise UserError(f"{command[0]} could not be started: {error.strerror}") from error
        talker = threading.Thread(target=_pass_on, args=(process.stdout, f"[{name}] "))
        talker.start()
        self._members.append(_Member(name, serves, process, talker))

    def wait(self) -> tuple[int, str]:
        """Waits until all but servers have ended; ends the others once one has failed.

        Returns:
            The exit code of the failure that came first, as a shell gives it (128 + N for a
            process ended by signal N), 0 if there is none, and a sentence that says which it was.
        """
        while not self._failed() and any(m.runs for m in self._members if not m.serves):
            time.sleep(_POLL_SECONDS)
        code, said = 0, "all are done"
        if failed := self._failed():
            # A worker that lost another is not the cause, where the lost one is known too.
            first = min(failed, key=lambda m: m.process.returncode == WorkerLost.exit_code)
            code, said = _shell_code(first.process.returncode), _say(first)
        self._end_others(code)
        for member in self._members:
            member.process.wait()
            member.talker.join()
        return code, said

    def ask_to_stop(self) -> None:
        """Sends SIGTERM to all that run: the trainer makes a checkpoint and stops."""
        for member in self._running():
            member.process.terminate()

    def kill(self) -> None:
        """Kills all that run."""
        for member in self._running():
            member.process.kill()

    def _running(self) -> list[_Member]:
        return [member for member in self._members if member.runs]

    def _failed(self) -> list[_Member]:
        return [member for member in self._members if member.failed]

    def _end_others(self, code: int) -> None:
        # Workers that were asked to stop come to their end by themselves, after a checkpoint.
        if code == Preempted.exit_code:
            self._wait_while(lambda: any(not member.serves for member in self._running()))
        self.ask_to_stop()
        self._wait_while(self._running)
        self.kill()

    def _wait_while(self, holds) -> None:
        until = time.monotonic() + self._grace
        while holds() and time.monotonic() < until:
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


def _say(member: _Member) -> str:
    code = member.process.returncode
    if code < 0:
        return f"{member.name} was ended by {signal.Signals(-code).name}"
    return f"{member.name} ended with exit code {code}"


def _shell_code(code: int) -> int:
    """A failure's exit code; a server that ended well before the others failed them too."""
    return 128 - code if code < 0 else code or 1
