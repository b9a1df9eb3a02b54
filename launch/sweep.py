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
its log.txt says why. SIGTERM, SIGHUP and Ctrl-C are passed on to the trainings, which make a
checkpoint; then the sweep ends with exit code 75.
"""

import contextlib
import hashlib
import itertools
import pathlib
import subprocess
import sys
from collections.abc import Iterator, Sequence

from absl import flags

from cxr_command.exit_codes import ExitCode
from cxr_command.foreign_text import first_line
from launch import child, stopping
from launch.gpus import require_gpus
from launch.trials import Trial, train
from trainer import command
from trainer.directory import made, require_writable
from trainer.errors import Preempted, UserError
from trainer.lock import locked

flags.DEFINE_string("file", None, "The flags and their values.", required=True)
flags.DEFINE_string("runs_dir", None, "Where the runs' directories are made.", required=True)
flags.DEFINE_list("gpus", [], "Indices of GPUs that each train one run at a time.")

FLAGS = flags.FLAGS

# Of most file systems, in bytes.
_LONGEST_NAME = 255
_DIGITS = 12


def main() -> None:
    """Trains all, then lists them by their best validation loss."""
    swept = parse(_read(pathlib.Path(FLAGS.file)))
    runs_dir = pathlib.Path(FLAGS.runs_dir)
    trials = [Trial(runs_dir / name, values) for name, values in combinations(swept).items()]
    if FLAGS.gpus:
        require_gpus(_indices(FLAGS.gpus), f"--gpus={','.join(FLAGS.gpus)}")
    require_writable(runs_dir, "runs_dir")
    _check_flags(swept)
    with _alone_in(runs_dir), stopping.noted() as asked:
        unfinished = [trial for trial in trials if not trial.is_done()]
        for trial in trials:
            if trial not in unfinished:
                print(f"{trial.name}: done before", file=sys.stderr)
        codes = train(unfinished, FLAGS.gpus or [None], asked)
        _show_by_loss(trials)
        _raise_if_unfinished(trials, unfinished, codes, asked.to_stop)


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
        if not name.isidentifier() or not listed or "\0" in line:
            raise UserError(f"line {number} of the sweep: {line!r}; expected flag = value, value")
        if len(set(listed)) < len(listed):
            raise UserError(f"line {number} of the sweep: {line!r} has a value twice")
        if name == "workdir" or name in swept:
            raise UserError(f"line {number} of the sweep sets {name}, which is set already")
        swept[name] = listed
    if not swept:
        raise UserError("the sweep's file is empty; expected lines such as dropout = 0.2, 0.4")
    return swept


def combinations(swept: dict[str, list[str]]) -> dict[str, dict[str, str]]:
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
        runs[_directory_name(",".join(varied) or "run")] = run
    return runs


def _directory_name(text: str) -> str:
    """The text; with a digest if it cannot be a name as it is, so that no two have the same."""
    name = text.replace("/", "_")
    if name == text and len(name.encode()) <= _LONGEST_NAME:
        return name
    digest = hashlib.sha256(text.encode()).hexdigest()[:_DIGITS]
    kept = name.encode()[: _LONGEST_NAME - _DIGITS - 1].decode(errors="ignore")
    return f"{kept}~{digest}"


def _read(path: pathlib.Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except FileNotFoundError as error:
        raise UserError(f"--file={path}: there is no such file") from error
    except (OSError, UnicodeDecodeError) as error:
        raise UserError(
            f"--file={path} is no text file ({first_line(error)}); expected lines: flag = value"
        ) from error


def _indices(gpus: Sequence[str]) -> set[int]:
    if not all(gpu.isdecimal() for gpu in gpus):
        raise UserError(f"--gpus={','.join(gpus)}: expected indices of GPUs, such as 0,1")
    return set(map(int, gpus))


def _check_flags(swept: dict[str, list[str]]) -> None:
    """Lets trainer.main parse every value of every flag, before the first run is started."""
    values = [f"--{flag}={value}" for flag, listed in swept.items() for value in listed]
    process = child.start(
        [sys.executable, "-m", "trainer.main", "--only_check_args", *values], {},
        stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    _, said = process.communicate()
    if process.returncode:
        sentence = said.strip().rpartition("\n")[2].removeprefix("error: ")
        raise UserError(f"--file={FLAGS.file}: {sentence}")


@contextlib.contextmanager
def _alone_in(runs_dir: pathlib.Path) -> Iterator[None]:
    """While open, no other sweep trains in the directory: both would train the same runs."""
    with made(runs_dir), locked(runs_dir, "wait for its end, or give another --runs_dir"):
        yield


def _show_by_loss(trials: Sequence[Trial]) -> None:
    found = [(trial.best_loss, trial.name) for trial in trials if trial.best_loss is not None]
    for loss, name in sorted(found):
        print(f"{loss:.4f}  {name}")


def _raise_if_unfinished(
    trials: Sequence[Trial], unfinished: Sequence[Trial], codes: dict[str, int], is_asked: bool
) -> None:
    """Ends the sweep as its trainings did: if one was stopped, the same command goes on."""
    left = [trial for trial in unfinished if codes.get(trial.name) != 0]
    failed = [trial for trial in left if codes.get(trial.name) != ExitCode.PREEMPTED]
    if left and (is_asked or not failed):
        raise Preempted(
            f"{len(trials) - len(left)} of {len(trials)} runs are done; the same command goes on "
            "with the others"
        )
    if failed:
        raise UserError(
            f"{len(failed)} of {len(trials)} runs failed: "
            + ", ".join(str(trial.log) for trial in failed)
        )


if __name__ == "__main__":
    command.run(main)
