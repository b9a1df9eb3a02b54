"""Records a profile of a range of steps."""

import pathlib

import tensorflow as tf
from absl import logging

from trainer.errors import UserError
from trainer.training.observers.observer import Observer


class Profile(Observer):
    """Records a profile between two steps, for TensorBoard's Profile page."""

    def __init__(self, directory: pathlib.Path, first: int, last: int) -> None:
        """Initializes the observer; records nothing.

        Args:
            directory: TensorBoard's directory.
            first: the global step to start before, counted from 0.
            last: the global step to stop before.
        """
        self._directory = str(directory)
        self._first, self._last = first, last
        self._recording = False

    def begin_steps(self, global_step: int, steps: int) -> int:
        """Starts or stops recording at its steps, and limits calls that would cross them."""
        if global_step == self._first:
            tf.profiler.experimental.start(self._directory)
            self._recording = True
        elif global_step >= self._last:
            self.end()
        edges = [edge - global_step for edge in (self._first, self._last) if edge > global_step]
        return min([steps, *edges])

    def end(self) -> None:
        """Stops an ongoing recording and writes it."""
        if self._recording:
            self._recording = False
            tf.profiler.experimental.stop()
            logging.info("profile from step %d on: see TensorBoard", self._first)


def parse_steps(text: str | None) -> tuple[int, int] | None:
    """Parses the steps of a profile.

    Args:
        text: `A:B`, or None for no profile.

    Returns:
        First and last step, or None.

    Raises:
        UserError: the text has another form.
    """
    if text is None:
        return None
    first, _, last = text.partition(":")
    if not (first.isdecimal() and last.isdecimal() and int(first) < int(last)):
        raise UserError(f"--profile_steps={text}: expected two steps A:B with A below B")
    return int(first), int(last)
