"""Signals that ask to stop: they are passed on, and the end is that of the processes."""

import contextlib
import signal
import subprocess
from collections.abc import Iterable, Iterator

from cxr_command.stop_signals import stop_signals


class Asked:
    """What signals have asked of this process so far."""

    def __init__(self) -> None:
        """Nothing has been asked yet."""
        self._received: list[int] = []
        self._told: set[int] = set()

    @property
    def to_stop(self) -> bool:
        """Whether any signal came."""
        return bool(self._received)

    @property
    def to_kill(self) -> bool:
        """Whether Ctrl-C was pressed again."""
        return self._received.count(signal.SIGINT) > 1

    def note(self, number: int, frame: object) -> None:
        """The signals' handler."""
        self._received.append(number)

    def pass_on(self, processes: Iterable[subprocess.Popen]) -> None:
        """Sends each process SIGTERM, once, if a stop was asked for.

        To be called again and again, so that no process is missed that was just being started.

        Args:
            processes: all that run; a second Ctrl-C kills them.
        """
        for process in processes:
            if self.to_kill:
                process.kill()
            elif self.to_stop and process.pid not in self._told:
                self._told.add(process.pid)
                process.terminate()


@contextlib.contextmanager
def noted() -> Iterator[Asked]:
    """While open, SIGTERM, SIGHUP and SIGINT are noted instead of ending this process."""
    asked, numbers = Asked(), (*stop_signals(), signal.SIGINT)
    previous = {number: signal.signal(number, asked.note) for number in numbers}
    try:
        yield asked
    finally:
        for number, handler in previous.items():
            signal.signal(number, handler)
