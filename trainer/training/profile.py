"""Records what a stretch of steps spends its time on."""

import pathlib

import tensorflow as tf
from absl import logging


class Profile:
    """Records a profile from one step to another, for TensorBoard's Profile page."""

    def __init__(self, directory: pathlib.Path, steps: tuple[int, int] | None) -> None:
        """Names the steps; records nothing yet.

        Args:
            directory: TensorBoard's directory.
            steps: first and last global step, counted from 0; None records nothing.
        """
        self._directory = str(directory)
        self._first, self._last = steps or (-1, -1)
        self._recording = False

    def limit(self, step: int, steps: int) -> int:
        """Cuts a call of so many steps from `step` on where the recording starts or ends."""
        edges = [edge - step for edge in (self._first, self._last) if step < edge < step + steps]
        return min([steps, *edges])

    def switch(self, step: int) -> None:
        """Starts or stops the recording if this is the step for it."""
        if step == self._first:
            tf.profiler.experimental.start(self._directory)
            self._recording = True
        elif step >= self._last:
            self.stop()

    def stop(self) -> None:
        """Ends the recording, if it is going on, and writes it."""
        if self._recording:
            self._recording = False
            tf.profiler.experimental.stop()
            logging.info("profile from step %d on: see TensorBoard", self._first)
