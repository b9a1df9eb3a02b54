"""The progress line of a study: its runs, their epochs, the remaining time."""

import contextlib
import pathlib
import statistics
import sys
import time

from trainer.duration import in_words
from trainer.errors import UserError
from trainer.progress_line import Line
from trainer.run import Run


class StudyProgress:
    """Reports a study's progress: runs that start and end, and the overall progress.

    The remaining time is the mean duration of this process' runs times the number of remaining
    runs.
    """

    def __init__(self, total: int, done: int, at_once: int) -> None:
        """Initializes the progress without running runs.

        Args:
            total: number of the study's runs.
            done: number of runs finished by earlier calls.
            at_once: number of simultaneous trainings.
        """
        self._total, self._done, self._at_once = total, done, at_once
        self._left = total - done
        self._began: dict[pathlib.Path, float] = {}
        self._seconds: list[float] = []
        self._line = Line()

    def begin(self, run: pathlib.Path, gpu: str | None) -> None:
        """Reports that a run has started, on a GPU if one is given."""
        self._began[run] = time.monotonic()
        self._left -= 1
        self.say(f"{run.name}: training" + (f" on GPU {gpu}" if gpu else ""))

    def refuse(self, run: pathlib.Path, why: str) -> None:
        """Reports that a run could not be started."""
        self._left -= 1
        self.say(f"{run.name}: {why}")

    def end(self, run: pathlib.Path, code: int, told: str) -> None:
        """Reports a run's end, with its exit code and a description."""
        seconds = time.monotonic() - self._began.pop(run)
        if code == 0:
            self._seconds.append(seconds)
            self._done += 1
        self.say(f"{run.name}: {told}")

    def say(self, text: str) -> None:
        """Writes a permanent line."""
        self._line.clear()
        print(text, file=sys.stderr, flush=True)

    def show(self) -> None:
        """Updates the progress line, unless it was updated a moment ago."""
        if self._began:
            self._line.show(self.told)

    def told(self) -> str:
        """The text of the progress line."""
        current = ", ".join(f"{run.name}: {_epoch_of(run)}" for run in self._began)
        left = f"  {in_words(self._seconds_left())} left" if self._seconds else ""
        return f"{self._done} of {self._total} runs done  {current}{left}"

    def _seconds_left(self) -> float:
        mean, now = statistics.fmean(self._seconds), time.monotonic()
        of_running = sum(max(0.0, mean - (now - began)) for began in self._began.values())
        return (self._left * mean + of_running) / self._at_once


def _epoch_of(run: pathlib.Path) -> str:
    """Returns the epoch of a run; a file that is unreadable now may be readable later."""
    with contextlib.suppress(UserError, OSError):
        config = (Run(run).read_config() or {}).get("config", {})
        if "epochs" in config:
            epochs = config["epochs"]
            return f"epoch {min(len(Run(run).read_metrics()) + 1, epochs)}/{epochs}"
    return "starting"
