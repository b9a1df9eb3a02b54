"""The line that shows how far a study is: its runs, their epochs, the time left."""

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
    """What a study says while it trains: which runs begin and end, and how far it is.

    The time left is what the runs of this process have taken on average, for each that is left.
    """

    def __init__(self, total: int, done: int, at_once: int) -> None:
        """Starts with no run.

        Args:
            total: number of the study's runs.
            done: how many an earlier call has done.
            at_once: how many train at the same time.
        """
        self._total, self._done, self._at_once = total, done, at_once
        self._left = total - done
        self._began: dict[pathlib.Path, float] = {}
        self._seconds: list[float] = []
        self._line = Line()

    def begin(self, run: pathlib.Path, gpu: str | None) -> None:
        """A run has begun, on a GPU if one is named."""
        self._began[run] = time.monotonic()
        self._left -= 1
        self.say(f"{run.name}: training" + (f" on GPU {gpu}" if gpu else ""))

    def refuse(self, run: pathlib.Path, why: str) -> None:
        """A run could not be begun."""
        self._left -= 1
        self.say(f"{run.name}: {why}")

    def end(self, run: pathlib.Path, code: int, told: str) -> None:
        """A run has ended with an exit code, which was told in words."""
        seconds = time.monotonic() - self._began.pop(run)
        if code == 0:
            self._seconds.append(seconds)
            self._done += 1
        self.say(f"{run.name}: {told}")

    def say(self, text: str) -> None:
        """Writes a line that stays."""
        self._line.clear()
        print(text, file=sys.stderr, flush=True)

    def show(self) -> None:
        """Shows how far it is, unless the last time is only a moment ago."""
        if self._began:
            self._line.show(self.told)

    def told(self) -> str:
        """How far it is."""
        current = ", ".join(f"{run.name}: {_epoch_of(run)}" for run in self._began)
        left = f"  {in_words(self._seconds_left())} left" if self._seconds else ""
        return f"{self._done} of {self._total} runs done  {current}{left}"

    def _seconds_left(self) -> float:
        mean, now = statistics.fmean(self._seconds), time.monotonic()
        of_running = sum(max(0.0, mean - (now - began)) for began in self._began.values())
        return (self._left * mean + of_running) / self._at_once


def _epoch_of(run: pathlib.Path) -> str:
    """The epoch that a run is in; what cannot be read now may be later."""
    with contextlib.suppress(UserError, OSError):
        config = (Run(run).read_config() or {}).get("config", {})
        if "epochs" in config:
            epochs = config["epochs"]
            return f"epoch {min(len(Run(run).read_metrics()) + 1, epochs)}/{epochs}"
    return "starting"
