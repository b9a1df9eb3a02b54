"""Stops a running training: SIGTERM, SIGHUP and SIGINT set a variable that each step reads.

Python runs a signal handler only when the main thread returns from TensorFlow, possibly many steps
later. The interpreter's wakeup file descriptor is written to immediately, whichever thread receives
the signal; a small thread waits for it and sets the variable.
"""

import contextlib
import os
import signal
import threading
from collections.abc import Callable, Iterator

import tensorflow as tf
from absl import logging

from cxr_command.stop_signals import may_be_handled, stop_signals


class StopRequest:
    """A request to stop this process, at most one step after the current one."""

    def __init__(self) -> None:
        """Initializes the request as not made."""
        with tf.device("/cpu:0"):
            self._asked = tf.Variable(0.0, trainable=False, name="stop_request")

    def value(self) -> tf.Tensor:
        """Returns 1.0 once a stop was requested, else 0.0. May be read in a graph."""
        return self._asked.read_value()

    def ask(self) -> None:
        """Requests a stop, at most one step after the current one."""
        self._asked.assign(1.0)

    @contextlib.contextmanager
    def on_signals(self) -> Iterator[None]:
        """Makes SIGTERM, SIGHUP and SIGINT request a stop; a second SIGINT ends the process.

        Outside the main thread, signal handling is unchanged.
        """
        if not may_be_handled():
            yield
            return
        reader, writer = os.pipe()
        os.set_blocking(writer, False)
        heeded = (*stop_signals(), signal.SIGINT)
        handlers = {number: signal.signal(number, _second_interrupt()) for number in heeded}
        previous = signal.set_wakeup_fd(writer)
        watcher = threading.Thread(target=self._watch, args=(reader,), daemon=True)
        watcher.start()
        try:
            yield
        finally:
            signal.set_wakeup_fd(previous)
            for number, handler in handlers.items():
                signal.signal(number, handler)
            os.close(writer)
            watcher.join()
            os.close(reader)

    def _watch(self, reader: int) -> None:
        while received := os.read(reader, 1):
            logging.info(
                "%s: stopping within a step, then a checkpoint", signal.Signals(received[0]).name
            )
            self.ask()


def _second_interrupt() -> Callable[[int, object], None]:
    """Returns a handler that leaves the first signal to the watcher and raises at a 2nd SIGINT."""
    seen = 0

    def handle(number: int, frame: object) -> None:
        nonlocal seen
        seen += number == signal.SIGINT
        if seen > 1:
            raise KeyboardInterrupt

    return handle
