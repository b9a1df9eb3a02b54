"""The trainings of a study: one after another, or one on each GPU."""

import dataclasses
import pathlib
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence

from trainer.directory import writing_to
from trainer.errors import UserError
from trainer.processes import child
from trainer.processes.stopping import Asked
from trainer.run import Run
from trainer.status import DONE
from trainer.studies.progress import StudyProgress

_POLL_SECONDS = 0.1


@dataclasses.dataclass(frozen=True)
class Trial:
    """One training of a study.

    Attributes:
        directory: of its run; its name is the trial's.
        flags: of trainer.main, the text of each.
    """

    directory: pathlib.Path
    flags: Mapping[str, str]

    @property
    def name(self) -> str:
        """What it is called."""
        return self.directory.name

    @property
    def log(self) -> pathlib.Path:
        """The file of what trainer.main says."""
        return self.directory / "log.txt"

    @property
    def best_loss(self) -> float | None:
        """The lowest validation loss so far."""
        return Run(self.directory).read_status().get("best_validation_loss")

    def is_done(self) -> bool:
        """Whether it was trained to its end.

        Raises:
            UserError: its status.json is damaged.
        """
        return Run(self.directory).read_status().get("status") == DONE

    def start(self, gpu: str | None) -> subprocess.Popen:
        """Starts trainer.main, whose lines go to `log`.

        Args:
            gpu: index of the GPU to train on; None: what it finds.

        Raises:
            UserError: the directory or the log cannot be written to.
        """
        words = [f"--{flag}={value}" for flag, value in self.flags.items()]
        command = [sys.executable, "-m", "trainer.main", *words, f"--workdir={self.directory}"]
        environment = {"CUDA_VISIBLE_DEVICES": gpu} if gpu else {}
        with writing_to(self.directory):
            self.directory.mkdir(parents=True, exist_ok=True)
            with self.log.open("a") as log:
                return child.start(command, environment, stdout=log, stderr=subprocess.STDOUT)


@dataclasses.dataclass(frozen=True)
class _Training:
    trial: Trial
    gpu: str | None
    process: subprocess.Popen


def train(
    trials: Sequence[Trial], gpus: Sequence[str | None], asked: Asked, progress: StudyProgress
) -> dict[str, int]:
    """Trains all; one that fails does not stop the others.

    Args:
        trials: what to train.
        gpus: indices of the GPUs that each train one at a time; None: what trainer.main finds.
        asked: what signals ask: to stop after a checkpoint, and to begin no more.
        progress: is told of each, and shown.

    Returns:
        The exit code of each, by its name; none of those that were not begun.
    """
    waiting, free = list(trials), list(gpus)
    running: list[_Training] = []
    codes: dict[str, int] = {}
    while running or (waiting and not asked.to_stop):
        while waiting and free and not asked.to_stop:
            running += _begin(waiting.pop(0), free, codes, progress)
        asked.pass_on(training.process for training in running)
        for training in [one for one in running if one.process.poll() is not None]:
            running.remove(training)
            free.append(training.gpu)
            codes[training.trial.name] = training.process.returncode
            progress.end(training.trial.directory, training.process.returncode)
        progress.show()
        time.sleep(_POLL_SECONDS)
    return codes


def _begin(
    trial: Trial, free: list[str | None], codes: dict[str, int], progress: StudyProgress
) -> list[_Training]:
    """Starts a training on a free GPU; says so if it cannot be, and notes its exit code."""
    try:
        process = trial.start(free[0])
    except UserError as error:
        codes[trial.name] = error.exit_code
        progress.refuse(trial.directory, str(error))
        return []
    progress.begin(trial.directory, free[0])
    return [_Training(trial, free.pop(0), process)]
