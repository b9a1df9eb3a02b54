r"""Trains with every combination of some flag values, one run after another or one on each GPU.

    python -m launch.sweep --file=SWEEP --runs_dir=runs/sweep [--gpus=0,1,2,3]
    tensorboard --logdir=runs/sweep

SWEEP has a line for each flag of trainer.main and its values; those with one value are shared:

    # Comments and empty lines are skipped.
    model = lenet
    data_dir = DATA
    learning_rate = 1e-3, 2e-3
    dropout = 0.2, 0.4

Each run's directory is named after its values; TensorBoard's HParams page compares them. The same
command again goes on: what is done is not trained again. A run that fails does not stop the others;
its log.txt says why.
"""

import concurrent.futures
import itertools
import os
import pathlib
import queue
import subprocess
import sys
from collections.abc import Sequence

from absl import flags

from launch.gpus import require_gpus
from trainer import command
from trainer.directory import require_writable
from trainer.errors import UserError
from trainer.run import Run

flags.DEFINE_string("file", None, "The flags and their values.", required=True)
flags.DEFINE_string("runs_dir", None, "Where the runs' directories are made.", required=True)
flags.DEFINE_list("gpus", [], "Indices of GPUs that each train one run at a time.")

FLAGS = flags.FLAGS

Values = dict[str, str]


def main() -> None:
    """Trains all, then lists them by their best validation loss."""
    path = pathlib.Path(FLAGS.file)
    if not path.is_file():
        raise UserError(f"--file={path}: there is no such file")
    swept = parse(_read(path))
    runs = combinations(swept)
    if FLAGS.gpus:
        require_gpus(_indices(FLAGS.gpus), f"--gpus={','.join(FLAGS.gpus)}")
    require_writable(FLAGS.runs_dir, "runs_dir")
    _check_flags(swept)
    directories = {name: pathlib.Path(FLAGS.runs_dir, name) for name in runs}
    failed = _train_all(runs, directories)
    for name, loss in _by_loss(directories):
        print(f"{loss:.4f}  {name}")
    if failed:
        raise UserError(
            f"{len(failed)} of {len(runs)} runs failed: "
            + ", ".join(str(directories[name] / "log.txt") for name in failed)
        )


def parse(text: str) -> dict[str, list[str]]:
    """Reads a sweep's file.

    Args:
        text: its content.

    Returns:
        The values of each flag, in order.

    Raises:
        UserError: a line is not `flag = value, value ...`, or sets what the sweep itself sets.
    """
    swept = {}
    for number, line in enumerate(text.splitlines(), start=1):
        line = line.partition("#")[0].strip()
        if not line:
            continue
        name, _, values = (part.strip() for part in line.partition("="))
        listed = [value.strip() for value in values.split(",") if value.strip()]
        if not name.isidentifier() or not listed:
            raise UserError(f"line {number} of the sweep: {line!r}; expected flag = value, value")
        if name == "workdir" or name in swept:
            raise UserError(f"line {number} of the sweep sets {name}, which is set already")
        swept[name] = listed
    if not swept:
        raise UserError("the sweep's file is empty; expected lines such as dropout = 0.2, 0.4")
    return swept


def combinations(swept: dict[str, list[str]]) -> dict[str, Values]:
    """Every combination of the values.

    Args:
        swept: what `parse` returned.

    Returns:
        By the name of the run's directory, the value of each flag.
    """
    runs = {}
    for values in itertools.product(*swept.values()):
        run = dict(zip(swept, values, strict=True))
        varied = [f"{name}={value}" for name, value in run.items() if len(swept[name]) > 1]
        runs[",".join(varied).replace("/", "_") or "run"] = run
    return runs


def _read(path: pathlib.Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise UserError(f"--file={path} is no text file; expected lines: flag = value") from error


def _indices(gpus: Sequence[str]) -> set[int]:
    if not all(gpu.isdecimal() for gpu in gpus):
        raise UserError(f"--gpus={','.join(gpus)}: expected indices of GPUs, such as 0,1")
    return set(map(int, gpus))


def _check_flags(swept: dict[str, list[str]]) -> None:
    """Lets trainer.main parse every value of every flag, before the first run is started."""
    values = [f"--{flag}={value}" for flag, listed in swept.items() for value in listed]
    done = subprocess.run(  # noqa: S603
        [sys.executable, "-m", "trainer.main", "--only_check_args", *values],
        stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    if done.returncode:
        said = done.stderr.strip().rpartition("\n")[2].removeprefix("error: ")
        raise UserError(f"--file={FLAGS.file}: {said}")


def _train_all(runs: dict[str, Values], directories: dict[str, pathlib.Path]) -> list[str]:
    """Trains; returns the names of those that failed."""
    free = queue.SimpleQueue()
    for gpu in FLAGS.gpus or [None]:
        free.put(gpu)

    def train(name: str) -> bool:
        gpu = free.get()
        try:
            return _train(name, runs[name], directories[name], gpu)
        finally:
            free.put(gpu)

    with concurrent.futures.ThreadPoolExecutor(max(1, len(FLAGS.gpus))) as pool:
        succeeded = list(pool.map(train, runs))
    return [name for name, success in zip(runs, succeeded, strict=True) if not success]


def _train(name: str, values: Values, directory: pathlib.Path, gpu: str | None) -> bool:
    if Run(directory).read_status().get("status") == "done":
        _say(f"{name}: done before")
        return True
    directory.mkdir(parents=True, exist_ok=True)
    _say(f"{name}: training" + (f" on GPU {gpu}" if gpu else ""))
    environment = os.environ | ({"CUDA_VISIBLE_DEVICES": gpu} if gpu else {})
    arguments = [f"--{flag}={value}" for flag, value in values.items()]
    with (directory / "log.txt").open("a") as log:
        code = subprocess.run(  # noqa: S603
            [sys.executable, "-m", "trainer.main", *arguments, f"--workdir={directory}"],
            env=environment, stderr=log,
        ).returncode  # fmt: skip
    _say(f"{name}: " + ("done" if code == 0 else f"ended with code {code}"))
    return code == 0


def _say(what: str) -> None:
    print(what, file=sys.stderr, flush=True)


def _by_loss(directories: dict[str, pathlib.Path]) -> Sequence[tuple[str, float]]:
    losses = {
        name: Run(directory).read_status().get("best_validation_loss")
        for name, directory in directories.items()
    }
    found = [(name, loss) for name, loss in losses.items() if loss is not None]
    return sorted(found, key=lambda pair: pair[1])


if __name__ == "__main__":
    command.run(main)
