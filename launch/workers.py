"""The processes of one start of a job on this machine."""

import dataclasses
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Sequence
from typing import IO

from cxr_command.exit_codes import ExitCode
from trainer.errors import UserError
from trainer.processes import child
from trainer.processes.stopping import Asked

_POLL_SECONDS = 0.1
# Limit for reading the last lines of a process that has ended; a process it left behind may keep
# its output open forever.
_LAST_WORDS_SECONDS = 5


@dataclasses.dataclass(frozen=True)
class _Member:
    """A process of the job, its name, and the thread that forwards its output."""

    name: str
    serves: bool
    process: subprocess.Popen
    output: threading.Thread

    @property
    def runs(self) -> bool:
        return self.process.poll() is None

    @property
    def failed(self) -> bool:
        return not self.runs and (self.serves or self.process.returncode != 0)


class Workers:
    """Processes that work together: if one fails, all are stopped."""

    def __init__(self, grace: float, asked: Asked) -> None:
        """Initializes without processes.

        Args:
            grace: seconds between asking a process to stop and killing it.
            asked: stop requests from signals.
        """
        self._grace, self._asked = grace, asked
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
            name: name of the process in the log.
            command: the command as a list of words.
            environment: environment variables added to this process' own.
            serves: whether it is a server that should run until the others are done.

        Raises:
            UserError: the command cannot be started.
        """
        streams = {"stdout": subprocess.PIPE, "stderr": subprocess.STDOUT}
        try:
            process = child.start(command, environment, **streams)
        except UserError:
            self._kill()
            raise
        output = threading.Thread(target=_pass_on, args=(process.stdout, f"[{name}] "), daemon=True)
        output.start()
        self._members.append(_Member(name, serves, process, output))

    def wait(self) -> tuple[int, str]:
        """Waits until all processes except servers have ended; stops all once one has failed.

        Returns:
            The exit code of the first failure, as in a shell (128 + N for a process ended by signal
            N), or 0; and a sentence that describes it.
        """
        while not self._failed() and any(m.runs for m in self._members if not m.serves):
            self._poll()
        code, said = 0, "all are done"
        if failed := self._failed():
            # A worker that reports another as lost is not the cause, if the lost one's failure is
            # known.
            first = min(failed, key=lambda m: m.process.returncode == ExitCode.WORKER_LOST)
            code, said = _shell_code(first.process.returncode), _say(first)
        self._end_others(code)
        for member in self._members:
            member.process.wait()
            member.output.join(_LAST_WORDS_SECONDS)
        return code, said

    def _poll(self) -> None:
        self._asked.pass_on(member.process for member in self._running())
        time.sleep(_POLL_SECONDS)

    def _kill(self) -> None:
        for member in self._running():
            member.process.kill()

    def _running(self) -> list[_Member]:
        return [member for member in self._members if member.runs]

    def _failed(self) -> list[_Member]:
        return [member for member in self._members if member.failed]

    def _end_others(self, code: int) -> None:
        # Workers that were asked to stop end by themselves, after a checkpoint.
        if code == ExitCode.PREEMPTED:
            self._wait_while(lambda: any(not member.serves for member in self._running()))
        for member in self._running():
            member.process.terminate()
        self._wait_while(self._running)
        self._kill()

    def _wait_while(self, holds: Callable[[], object]) -> None:
        until = time.monotonic() + self._grace
        while holds() and time.monotonic() < until:
            self._poll()


def _pass_on(lines: IO[bytes], prefix: str) -> None:
    """Keeps reading even if nobody sees the output: a full pipe would block the process forever."""
    for line in lines:
        sys.stderr.write(prefix + line.decode(errors="replace"))
        sys.stderr.flush()


def _say(member: _Member) -> str:
    code = member.process.returncode
    if code < 0:
        return f"{member.name} was terminated by {signal.Signals(-code).name}"
    return f"{member.name} ended with exit code {code}"


def _shell_code(code: int) -> int:
    """Converts the code of a failure; a server that ends normally before the others also failed."""
    return 128 - code if code < 0 else code or 1
