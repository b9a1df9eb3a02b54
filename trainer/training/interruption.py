"""Asks a running training to stop: SIGTERM, SIGHUP and SIGINT set a variable that each step reads.

Python runs a signal's handler only when the main thread comes back from TensorFlow, which may be
many steps later. The interpreter's wakeup descriptor is written to at once, whatever thread the
signal meets: a small thread waits there and sets the variable.
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
    """Whether this process has been asked to stop, at most one step after the current one."""

    def __init__(self) -> None:
        """Nothing has been asked yet."""
        with tf.device("/cpu:0"):
            self._asked = tf.Variable(0.0, trainable=False, name="stop_request")

    def value(self) -> tf.Tensor:
        """1.0 once a stop was asked for, else 0.0. May be read in a graph."""
        return self._asked.read_value()

    def ask(self) -> None:
        """Asks for a stop, at most one step after the current one."""
        self._asked.assign(1.0)

    @contextlib.contextmanager
    def on_signals(self) -> Iterator[None]:
        """While open, SIGTERM, SIGHUP, SIGINT ask for a stop; a second SIGINT ends the process.

        In other threads than the main one, signals stay as they are.
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
    """A handler that leaves the first signal to the watcher and raises at a second SIGINT."""
    seen = 0

    def handle(number: int, frame: object) -> None:
        nonlocal seen
        seen += number == signal.SIGINT
        if seen > 1:
            raise KeyboardInterrupt

    return handle
