"""What a person sees of a running training: a progress line, TensorBoard scalars, a profile."""

import pathlib
import sys
import time

import tensorflow as tf
from absl import logging

_SECONDS_BETWEEN_LINES = {True: 0.2, False: 30.0}


class ProgressLine:
    """One line that says how far an epoch is, at what rate, and how long the rest will take.

    On a terminal the line is overwritten in place; in a log file one is written every 30 seconds.
    """

    def __init__(self, title: str, total_steps: int, images_per_step: int) -> None:
        """Starts the clock."""
        self._title, self._total, self._images = title, total_steps, images_per_step
        self._terminal = sys.stderr.isatty()
        self._started = self._written = time.monotonic()

    def show(self, step: int) -> None:
        """Writes the line, unless the last one is only a moment old."""
        now = time.monotonic()
        if now - self._written < _SECONDS_BETWEEN_LINES[self._terminal]:
            return
        self._written = now
        rate = step / (now - self._started)
        text = (
            f"{self._title}  step {step}/{self._total}  {rate * self._images:.0f} images/s  "
            f"{(self._total - step) / rate:.0f} s left"
        )
        print(f"\r{text}\033[K" if self._terminal else text, end="", file=sys.stderr, flush=True)
        if not self._terminal:
            print(file=sys.stderr, flush=True)

    def clear(self) -> None:
        """Removes the line from a terminal."""
        if self._terminal:
            print("\r\033[K", end="", file=sys.stderr, flush=True)


class TensorBoard:
    """Writes an epoch's scalars: training and validation as two curves in one chart."""

    def __init__(self, directory: pathlib.Path) -> None:
        """Opens the event files."""
        self._train = tf.summary.create_file_writer(str(directory / "train"))
        self._validation = tf.summary.create_file_writer(str(directory / "validation"))

    def write(self, row: dict[str, float]) -> None:
        """Writes one row of metrics.jsonl; the step of the charts is the epoch."""
        with self._train.as_default(step=row["epoch"]):
            for name in ("loss", "accuracy", "learning_rate", "images_per_second", "input_wait"):
                if row[name] is not None:
                    tf.summary.scalar(name, row[name])
        with self._validation.as_default(step=row["epoch"]):
            for name in ("loss", "accuracy"):
                tf.summary.scalar(name, row[f"validation_{name}"])
        self._train.flush()
        self._validation.flush()


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

    def limit(self, step: int, steps: int) -> int:
        """Cuts a call of so many steps from `step` on where the recording starts or ends."""
        edges = [edge - step for edge in (self._first, self._last) if step < edge < step + steps]
        return min([steps, *edges])

    def switch(self, step: int) -> None:
        """Starts or stops the recording if this is the step for it."""
        if step == self._first:
            tf.profiler.experimental.start(self._directory)
        elif step == self._last:
            tf.profiler.experimental.stop()
            logging.info("profile of steps %d to %d: see TensorBoard", self._first, self._last)
