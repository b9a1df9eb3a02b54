"""Progress lines for long work."""

import contextlib
import sys
import threading
import time
from collections.abc import Callable, Iterator

from cxr_command.standard_streams import is_notebook

_ON_A_TERMINAL = 0.2
# Seconds between lines of a log file, for work with and without a known total.
_IN_A_LOG, _IN_A_LOG_OF_WAITING = 30.0, 10.0
_SECONDS_BETWEEN_LOOKS = 0.5


class Line:
    """A line about work in progress.

    On a terminal and in a notebook the line is overwritten in place; in a log file a new one is
    written at intervals.
    """

    def __init__(self, seconds_between: float = _IN_A_LOG) -> None:
        """Starts the clock.

        Args:
            seconds_between: interval between two lines of a log file.
        """
        self._stays = sys.stderr.isatty() or is_notebook()
        self._seconds_between = _ON_A_TERMINAL if self._stays else seconds_between
        self._written = time.monotonic()
        self._shown = ""

    def show(self, tell: Callable[[], str]) -> None:
        """Writes the line, unless the last one was written a moment ago.

        Args:
            tell: returns the text; called only if the line is written.
        """
        now = time.monotonic()
        if now - self._written < self._seconds_between:
            return
        self._written = now
        if self._stays:
            self._overwrite(tell())
        else:
            print(tell(), file=sys.stderr, flush=True)

    def clear(self) -> None:
        """Removes the line from a terminal; lines of a log file stay."""
        if self._shown:
            self._overwrite("")
            print("\r", end="", file=sys.stderr, flush=True)

    def _overwrite(self, text: str) -> None:
        # Overwrites with blanks, as notebooks do not support the escape sequence that clears a
        # line.
        print(f"\r{text.ljust(len(self._shown))}", end="", file=sys.stderr, flush=True)
        self._shown = text


@contextlib.contextmanager
def seconds_shown(doing: str) -> Iterator[None]:
    """Shows the elapsed time of work whose progress is unknown, while the context is open.

    Args:
        doing: description of the work, such as `compiling`.
    """
    line, started, ended = Line(_IN_A_LOG_OF_WAITING), time.monotonic(), threading.Event()

    def show() -> None:
        while not ended.wait(_SECONDS_BETWEEN_LOOKS):
            line.show(lambda: f"{doing}, {time.monotonic() - started:.0f} s so far")

    thread = threading.Thread(target=show, daemon=True)
    thread.start()
    try:
        yield
    finally:
        ended.set()
        thread.join()
        line.clear()


class ProgressLine:
    """A line with an epoch's progress, its rate and the remaining time."""

    def __init__(self, title: str, total_steps: int, images_per_step: int) -> None:
        """Starts the clock.

        Args:
            title: description of the work.
            total_steps: steps of the epoch.
            images_per_step: images per step.
        """
        self._title, self._total, self._images = title, total_steps, images_per_step
        self._line, self._started = Line(), time.monotonic()

    def show(self, step: int) -> None:
        """Writes the line, unless the last one was written a moment ago."""
        self._line.show(lambda: self._told(step))

    def clear(self) -> None:
        """Removes the line from a terminal."""
        self._line.clear()

    def _told(self, step: int) -> str:
        rate = step / (time.monotonic() - self._started)
        return (
            f"{self._title}  step {step}/{self._total}  {rate * self._images:.0f} images/s  "
            f"{(self._total - step) / rate:.0f} s left"
        )
