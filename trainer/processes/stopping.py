"""Forwards signals that request a stop, and lets the child processes end by themselves."""

import contextlib
import signal
import subprocess
from collections.abc import Iterable, Iterator

from cxr_command.stop_signals import stop_signals


class Asked:
    """The stop requests that signals have made so far."""

    def __init__(self) -> None:
        """Initializes without requests."""
        self._received: list[int] = []
        self._told: set[int] = set()

    @property
    def to_stop(self) -> bool:
        """Whether any signal was received."""
        return bool(self._received)

    @property
    def to_kill(self) -> bool:
        """Whether Ctrl-C was pressed a second time."""
        return self._received.count(signal.SIGINT) > 1

    def note(self, number: int, frame: object) -> None:
        """Handles a signal."""
        self._received.append(number)

    def pass_on(self, processes: Iterable[subprocess.Popen]) -> None:
        """Sends each process SIGTERM, once, if a stop was requested.

        Call this repeatedly, so that a process that was just being started is not missed.

        Args:
            processes: all running processes; a second Ctrl-C kills them.
        """
        for process in processes:
            if self.to_kill:
                process.kill()
            elif self.to_stop and process.pid not in self._told:
                self._told.add(process.pid)
                process.terminate()


@contextlib.contextmanager
def noted() -> Iterator[Asked]:
    """Records SIGTERM, SIGHUP and SIGINT instead of letting them end this process."""
    asked, numbers = Asked(), (*stop_signals(), signal.SIGINT)
    previous = {number: signal.signal(number, asked.note) for number in numbers}
    try:
        yield asked
    finally:
        for number, handler in previous.items():
            signal.signal(number, handler)
