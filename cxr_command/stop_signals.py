"""The signals that ask a command to end."""

import contextlib
import signal
import threading
from collections.abc import Iterator

from cxr_command.exit_codes import ExitCode


class Terminated(BaseException):
    """SIGTERM or SIGHUP while nothing could be kept. No failure that code may handle."""

    exit_code = ExitCode.TERMINATED  # One code for both signals.


def stop_signals() -> tuple[signal.Signals, ...]:
    """SIGTERM, and SIGHUP, as when a connection drops, unless `nohup` has it ignored."""
    heeds_hangup = signal.getsignal(signal.SIGHUP) != signal.SIG_IGN
    return (signal.SIGTERM, signal.SIGHUP) if heeds_hangup else (signal.SIGTERM,)


def may_be_handled() -> bool:
    """Whether this is the main thread: Python lets no other one handle signals."""
    return threading.current_thread() is threading.main_thread()


@contextlib.contextmanager
def raising() -> Iterator[None]:
    """While open, the first of the signals raises, so that contexts clean up behind them.

    In other threads than the main one, signals stay as they are.

    Raises:
        Terminated: it came.
    """
    heeded = stop_signals() if may_be_handled() else ()

    def end(number: int, frame: object) -> None:
        for other in heeded:
            signal.signal(other, signal.SIG_IGN)
        name = signal.Signals(number).name
        raise Terminated(f"by {name}; unfinished output was removed")

    previous = {number: signal.signal(number, end) for number in heeded}
    try:
        yield
    finally:
        for number, handler in previous.items():
            signal.signal(number, handler)
