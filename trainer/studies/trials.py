"""The trainings of a study: one after another, or one on each GPU."""

import abc
import contextlib
import dataclasses
import pathlib
import signal
import subprocess
import sys
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
# What trainer.main says, in a run's directory.
LOG = "log.txt"


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
        return self.directory / LOG

    def is_done(self) -> bool:
        """Whether it was trained to its end.

        Raises:
            UserError: its status.json is damaged.
        """
        return Run(self.directory).read_status().get("status") == DONE

    def last_words(self) -> str:
        """The last line of its log."""
        with contextlib.suppress(OSError):
            lines = self.log.read_text(errors="replace").splitlines()
            return lines[-1] if lines else "it said nothing"
        return f"it has no {LOG}"

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


class Ended(NamedTuple):
    """How a trial ended.

    Attributes:
        code: its exit code; 0 where nothing is left to do.
        told: in words.
    """

    code: int
    told: str

    @classmethod
    def by(cls, trial: Trial, code: int) -> "Ended":
        """The end of a trial by an exit code; the last line of its log says why."""
        if code == ExitCode.DONE:
            return cls(code, "done")
        return cls(code, f"ended with code {code}: {trial.last_words()}")


class Queue(abc.ABC):
    """The trials of a study, in the order in which they begin."""

    @abc.abstractmethod
    def take(self) -> Trial | None:
        """The next trial; None if there is none."""

    def is_hopeless(self, trial: Trial) -> bool:
        """Whether a trial that trains is to be stopped for good."""
        return False

    def end(self, trial: Trial, code: int) -> Ended:
        """Takes note of a trial's end by an exit code; returns what it comes to."""
        return Ended.by(trial, code)


class Listed(Queue):
    """Trials that are known from the beginning."""

    def __init__(self, trials: Iterable[Trial]) -> None:
        """Takes them in their order."""
        self._trials = iter(trials)

    def take(self) -> Trial | None:
        """As of `Queue`."""
        return next(self._trials, None)


@dataclasses.dataclass(frozen=True)
class _Training:
    trial: Trial
    gpu: str | None
    process: subprocess.Popen


def train(
    queue: Queue, gpus: Sequence[str | None], asked: Asked, progress: StudyProgress
) -> dict[str, int]:
    """Trains all; one that fails does not stop the others.

    Args:
        queue: what to train.
        gpus: indices of the GPUs that each train one at a time; None: what trainer.main finds.
        asked: what signals ask: to stop after a checkpoint, and to begin no more.
        progress: is told of each, and shown.

    Returns:
        The exit code of each, by its name; none of those that were not begun.
    """
    free, pruned = list(gpus), Asked()
    pruned.note(signal.SIGTERM, None)  # Whoever is pruned is asked to stop, once.
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
    """Starts a training on a free GPU; says so if it cannot be, and notes its exit code."""
    try:
        process = trial.start(free[0])
    except UserError as error:
        codes[trial.name] = queue.end(trial, error.exit_code).code
        progress.refuse(trial.directory, str(error))
        return []
    progress.begin(trial.directory, free[0])
    return [_Training(trial, free.pop(0), process)]
