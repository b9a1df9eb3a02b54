"""The trainings of a sweep: one after another, or one on each GPU."""

import contextlib
import dataclasses
import pathlib
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence

from launch import child
from launch.stopping import Asked
from trainer.directory import writing_to
from trainer.errors import UserError
from trainer.run import Run

_POLL_SECONDS = 0.1
# What config.json has in full, and a flag may not.
_RESOLVED = ("dataset", "data_dir")


@dataclasses.dataclass(frozen=True)
class Trial:
    """One training of a sweep.

    Attributes:
        directory: of its run; its name is the trial's.
        values: of the flags of trainer.main.
    """

    directory: pathlib.Path
    values: Mapping[str, str]

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
            UserError: its directory holds files that are damaged, none of a run, or a run of
                other values.
        """
        run = Run(self.directory)
        stored = (run.read_config() or {}).get("config", {})
        for name, value in self.values.items():
            if name in stored and name not in _RESOLVED and not _is_same(value, stored[name]):
                raise UserError(
                    f"{self.directory} holds a run of another sweep: --{name}={stored[name]} "
                    f"there, {value} now; give another --runs_dir"
                )
        return run.read_status().get("status") == "done"

    def start(self, gpu: str | None) -> subprocess.Popen:
        """Starts trainer.main, whose lines go to `log`.

        Args:
            gpu: index of the GPU to train on; None: what it finds.

        Raises:
            UserError: the directory or the log cannot be written to.
        """
        words = [f"--{flag}={value}" for flag, value in self.values.items()]
        command = [sys.executable, "-m", "trainer.main", *words, f"--workdir={self.directory}"]
        environment = {"CUDA_VISIBLE_DEVICES": gpu} if gpu else {}
        with writing_to(self.directory):
            self.directory.mkdir(parents=True, exist_ok=True)
            with self.log.open("a") as log:
                return child.start(command, environment, stdout=log, stderr=subprocess.STDOUT)


def _is_same(value: str, stored: object) -> bool:
    """Whether a flag's text means what stands in config.json."""
    if isinstance(stored, bool):
        return value.lower() in (("true", "1") if stored else ("false", "0"))
    if isinstance(stored, int | float):
        with contextlib.suppress(ValueError):
            return float(value) == stored
    return value == stored


@dataclasses.dataclass(frozen=True)
class _Training:
    trial: Trial
    gpu: str | None
    process: subprocess.Popen


def train(trials: Sequence[Trial], gpus: Sequence[str | None], asked: Asked) -> dict[str, int]:
    """Trains all; one that fails does not stop the others.

    Args:
        trials: what to train.
        gpus: indices of the GPUs that each train one at a time; None: what trainer.main finds.
        asked: what signals ask: to stop after a checkpoint, and to begin no more.

    Returns:
        The exit code of each, by its name; none of those that were not begun.
    """
    waiting, free = list(trials), list(gpus)
    running: list[_Training] = []
    codes: dict[str, int] = {}
    while running or (waiting and not asked.to_stop):
        while waiting and free and not asked.to_stop:
            running += _begin(waiting.pop(0), free, codes)
        asked.pass_on(training.process for training in running)
        for training in [one for one in running if one.process.poll() is not None]:
            running.remove(training)
            free.append(training.gpu)
            codes[training.trial.name] = _end(training)
        time.sleep(_POLL_SECONDS)
    return codes


def _begin(trial: Trial, free: list[str | None], codes: dict[str, int]) -> list[_Training]:
    """Starts a training on a free GPU; says so if it cannot be, and notes its exit code."""
    try:
        process = trial.start(free[0])
    except UserError as error:
        print(f"{trial.name}: {error}", file=sys.stderr)
        codes[trial.name] = error.exit_code
        return []
    print(f"{trial.name}: training" + (f" on GPU {free[0]}" if free[0] else ""), file=sys.stderr)
    return [_Training(trial, free.pop(0), process)]


def _end(training: _Training) -> int:
    code = training.process.returncode
    ended = f"ended with code {code}" if code else "done"
    print(f"{training.trial.name}: {ended}", file=sys.stderr)
    return code
