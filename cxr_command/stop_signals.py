"""The signals that request a command to end."""

import contextlib
import signal
import threading
from collections.abc import Iterator

from cxr_command.exit_codes import ExitCode


class Terminated(BaseException):
    """SIGTERM or SIGHUP when nothing can be saved. Not an error for code to handle."""

    exit_code = ExitCode.TERMINATED  # The same code for both signals.


def stop_signals() -> tuple[signal.Signals, ...]:
    """Returns SIGTERM, and SIGHUP (lost connection) unless `nohup` ignores it."""
    heeds_hangup = signal.getsignal(signal.SIGHUP) != signal.SIG_IGN
    return (signal.SIGTERM, signal.SIGHUP) if heeds_hangup else (signal.SIGTERM,)


def may_be_handled() -> bool:
    """Whether this is the main thread; Python only allows that to handle signals."""
    return threading.current_thread() is threading.main_thread()


@contextlib.contextmanager
def raising() -> Iterator[None]:
    """Raises an exception at the first of the signals, so that context managers clean up.

    Outside the main thread, signal handling is unchanged.

    Raises:
        Terminated: a signal was received.
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
