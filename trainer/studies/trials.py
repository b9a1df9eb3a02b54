"""Runs the trainings of a study: one after another, or one per GPU."""

import abc
import contextlib
import dataclasses
import pathlib
import signal
import subprocess
import time
from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple

from cxr_command.exit_codes import ExitCode
from trainer.directory import writing_to
from trainer.errors import UserError
from trainer.processes import child
from trainer.processes.stopping import Asked
from trainer.run import Run
from trainer.status import DONE
from trainer.studies.progress import StudyProgress

_POLL_SECONDS = 0.1
# File in a run's directory with the output of trainer.main.
LOG = "log.txt"


@dataclasses.dataclass(frozen=True)
class Trial:
    """One training of a study.

    Attributes:
        directory: directory of its run; its name is the name of the trial.
        flags: the text of each trainer.main flag.
    """

    directory: pathlib.Path
    flags: Mapping[str, str]

    @property
    def name(self) -> str:
        """Name of the trial."""
        return self.directory.name

    @property
    def log(self) -> pathlib.Path:
        """The file with the output of trainer.main."""
        return self.directory / LOG

    def is_done(self) -> bool:
        """Whether it was trained to the end.

        Raises:
            UserError: its status.json is damaged.
        """
        return Run(self.directory).read_status().get("status") == DONE

    def last_words(self) -> str:
        """Returns the last line of its log."""
        with contextlib.suppress(OSError):
            lines = self.log.read_text(errors="replace").splitlines()
            return lines[-1] if lines else "it said nothing"
        return f"it has no {LOG}"

    def start(self, gpu: str | None) -> subprocess.Popen:
        """Starts trainer.main with its output redirected to `log`.

        Args:
            gpu: index of the GPU to train on; None: chosen by trainer.main.

        Raises:
            UserError: the directory or the log cannot be written to.
        """
        words = [f"--{flag}={value}" for flag, value in self.flags.items()]
        command = [
            *child.python_module("trainer.main"), *words, f"--workdir={self.directory}",
        ]  # fmt: skip
        environment = {"CUDA_VISIBLE_DEVICES": gpu} if gpu else {}
        with writing_to(self.directory):
            self.directory.mkdir(parents=True, exist_ok=True)
            with self.log.open("a") as log:
                return child.start(command, environment, stdout=log, stderr=subprocess.STDOUT)


class Ended(NamedTuple):
    """How a trial ended.

    Attributes:
        code: its exit code; 0 if nothing is left to do.
        told: description of the end.
    """

    code: int
    told: str

    @classmethod
    def by(cls, trial: Trial, code: int) -> "Ended":
        """Returns the end for an exit code, with the last line of the log as the reason."""
        if code == ExitCode.DONE:
            return cls(code, "done")
        return cls(code, f"ended with code {code}: {trial.last_words()}")


class Queue(abc.ABC):
    """The trials of a study, in starting order."""

    @abc.abstractmethod
    def take(self) -> Trial | None:
        """Returns the next trial; None if there is none."""

    def is_hopeless(self, trial: Trial) -> bool:
        """Whether a running trial should be stopped for good."""
        return False

    def end(self, trial: Trial, code: int) -> Ended:
        """Records a trial's end with an exit code; returns the resulting end."""
        return Ended.by(trial, code)


class Listed(Queue):
    """A fixed list of trials."""

    def __init__(self, trials: Iterable[Trial]) -> None:
        """Stores the trials, in order."""
        self._trials = iter(trials)

    def take(self) -> Trial | None:
        """Returns the next trial, as of `Queue`."""
        return next(self._trials, None)


@dataclasses.dataclass(frozen=True)
class _Training:
    trial: Trial
    gpu: str | None
    process: subprocess.Popen


def train(
    queue: Queue, gpus: Sequence[str | None], asked: Asked, progress: StudyProgress
) -> dict[str, int]:
    """Trains all trials; a failure does not stop the others.

    Args:
        queue: the trials to train.
        gpus: indices of the GPUs, each of which trains one trial at a time; None: chosen by
            trainer.main.
        asked: stop requests from signals: stop after a checkpoint, and start no more trials.
        progress: receives and shows the progress.

    Returns:
        Exit codes by name of the trial, without those that were not started.
    """
    free, pruned = list(gpus), Asked()
    pruned.note(signal.SIGTERM, None)  # A pruned trial is asked to stop, once.
    running: list[_Training] = []
    codes: dict[str, int] = {}
    while True:
        while free and not asked.to_stop and (trial := queue.take()):
            running += _begin(queue, trial, free, codes, progress)
        if not running:
            return codes
        asked.pass_on(training.process for training in running)
        pruned.pass_on(one.process for one in running if queue.is_hopeless(one.trial))
        for training in [one for one in running if one.process.poll() is not None]:
            running.remove(training)
            free.append(training.gpu)
            ended = queue.end(training.trial, training.process.returncode)
            codes[training.trial.name] = ended.code
            progress.end(training.trial.directory, ended.code, ended.told)
        progress.show()
        time.sleep(_POLL_SECONDS)


def _begin(
    queue: Queue, trial: Trial, free: list[str | None], codes: dict[str, int],
    progress: StudyProgress,
) -> list[_Training]:  # fmt: skip
    """Starts a training on a free GPU; if that fails, reports it and records the exit code."""
    try:
        process = trial.start(free[0])
    except UserError as error:
        codes[trial.name] = queue.end(trial, error.exit_code).code
        progress.refuse(trial.directory, str(error))
        return []
    progress.begin(trial.directory, free[0])
    return [_Training(trial, free.pop(0), process)]
