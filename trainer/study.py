r"""Trains every combination of some settings, seeds and cross-validation folds.

    python -m trainer.study --plan=PLAN --study_dir=STUDY [--gpus=0,1,2,3]
    python -m trainer.study --plan=PLAN --study_dir=STUDY --search=50
    tensorboard --logdir=STUDY

PLAN has a line for each trainer.main flag with its values; a single value applies to all runs:

    # Comments and empty lines are skipped.
    model = lenet
    recipe = seed, strong
    seeds = 0, 1, 2
    folds = 5

Every combination is trained with every seed, and with every fold held out once. Sections such as
[strong without flip], with lines of their own, name configurations; the lines before them are
shared. Each run's directory in STUDY is named after its values, and study.json lists them. Run the
same command again to resume a study: finished runs are not repeated, and seeds and values may be
added. A run that fails does not stop the others; its log.txt says why. SIGTERM, SIGHUP and Ctrl-C
are forwarded to the trainings, which save a checkpoint; then the study ends with exit code 75.

With --search=N, Optuna chooses the values of N runs from lists and ranges, such as
learning_rate = 1e-4 .. 1e-2 log, and stops runs that are worse than the median of the others. This
is a research tool, not a medical device.
"""

import contextlib
import pathlib
from collections.abc import Iterable, Iterator, Sequence

from absl import flags

from cxr_command.exit_codes import ExitCode
from cxr_command.foreign_text import first_line
from trainer import command
from trainer.directory import made, require_writable
from trainer.errors import Preempted, UserError
from trainer.lock import locked
from trainer.processes import stopping
from trainer.processes.gpus import require_gpus
from trainer.processes.stopping import Asked
from trainer.run import Run
from trainer.studies import record
from trainer.studies.checks import require_valid
from trainer.studies.plan import parse
from trainer.studies.progress import StudyProgress
from trainer.studies.search import Search, require_optuna
from trainer.studies.trials import LOG, Listed, Trial, train

flags.DEFINE_string("plan", None, "Plan file of flags and their values.", required=True)
flags.DEFINE_string("study_dir", None, "Directory of the study's runs.", required=True)
flags.DEFINE_integer(
    "search",
    0,
    "Number of runs whose values Optuna chooses; 0: all combinations.",
    lower_bound=0,
)
flags.DEFINE_list("gpus", [], "GPU indices; each GPU trains one run at a time.")

FLAGS = flags.FLAGS


def main() -> None:
    """Trains all runs, then lists them by their best validation loss."""
    plan_file, study_dir = pathlib.Path(FLAGS.plan), pathlib.Path(FLAGS.study_dir)
    text = _read(plan_file)
    if FLAGS.gpus:
        require_gpus(_indices(FLAGS.gpus), f"--gpus={','.join(FLAGS.gpus)}")
    if FLAGS.search:
        require_optuna()
    require_writable(study_dir, "study_dir")
    with stopping.noted() as asked, _alone_in(study_dir):
        run_all = _search if FLAGS.search else _grid
        run_all(text, plan_file, study_dir, asked)


def _grid(text: str, plan_file: pathlib.Path, study_dir: pathlib.Path, asked: Asked) -> None:
    """Trains every combination of the plan."""
    with _naming(plan_file):
        plan = parse(text)
        record.require_extended(study_dir, plan)
        require_valid(plan.runs, study_dir)
    record.write(study_dir, record.content_of(plan))
    trials = [Trial(study_dir / run.directory, run.flags) for run in plan.runs]
    unfinished = [trial for trial in trials if not trial.is_done()]
    done = len(trials) - len(unfinished)
    progress = StudyProgress(len(trials), done, len(FLAGS.gpus) or 1)
    for trial in trials:
        if trial not in unfinished:
            progress.say(f"{trial.name}: done before")
    codes = train(Listed(unfinished), FLAGS.gpus or [None], asked, progress)
    _show_by_loss(trial.directory for trial in trials)
    _raise_if_unfinished(study_dir, len(trials), done, codes, asked.to_stop)


def _search(text: str, plan_file: pathlib.Path, study_dir: pathlib.Path, asked: Asked) -> None:
    """Trains the configurations that Optuna samples from the plan's ranges."""
    with _naming(plan_file):
        search = Search(text, study_dir, FLAGS.search)
        require_valid(search.corners(), study_dir)
        search.open()
    ended, failed = search.ended, search.failed
    progress = StudyProgress(max(ended, search.number), ended, len(FLAGS.gpus) or 1)
    # Runs that failed in an earlier call are reported again.
    codes = failed | train(search, FLAGS.gpus or [None], asked, progress)
    _show_by_loss(search.directories)
    done = ended - len(failed)
    _raise_if_unfinished(study_dir, search.number, done, codes, asked.to_stop)


@contextlib.contextmanager
def _naming(plan: pathlib.Path) -> Iterator[None]:
    """Prefixes error messages with the plan's name."""
    try:
        yield
    except UserError as error:
        raise type(error)(f"--plan={plan}: {error}") from error


def _read(path: pathlib.Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except FileNotFoundError as error:
        raise UserError(f"--plan={path}: no such file") from error
    except (OSError, UnicodeDecodeError) as error:
        raise UserError(
            f"--plan={path} is not a text file ({first_line(error)}); expected lines: flag = value"
        ) from error


def _indices(gpus: Sequence[str]) -> set[int]:
    if not all(gpu.isdecimal() for gpu in gpus):
        raise UserError(f"--gpus={','.join(gpus)}: expected indices of GPUs, such as 0,1")
    return set(map(int, gpus))


@contextlib.contextmanager
def _alone_in(study_dir: pathlib.Path) -> Iterator[None]:
    """Locks the directory: two studies would train the same runs."""
    with made(study_dir), locked(study_dir, "wait for it to finish, or give another --study_dir"):
        yield


def _show_by_loss(runs: Iterable[pathlib.Path]) -> None:
    losses = ((Run(run).read_status().get("best_validation_loss"), run.name) for run in runs)
    found = sorted((loss, name) for loss, name in losses if loss is not None)
    if found:
        print("validation loss of the best epoch, run:")
    for loss, name in found:
        print(f"{loss:.4f}  {name}")


def _raise_if_unfinished(
    study_dir: pathlib.Path, total: int, done_before: int, codes: dict[str, int], is_asked: bool
) -> None:
    """Raises what ended the trainings: if one was stopped, the same command resumes the study."""
    done = done_before + sum(code == ExitCode.DONE for code in codes.values())
    failed = [
        name for name, code in codes.items() if code not in (ExitCode.DONE, ExitCode.PREEMPTED)
    ]
    if done < total and (is_asked or not failed):
        raise Preempted(
            f"{done} of {total} runs are done; the same command continues with the others"
        )
    if failed:
        raise UserError(
            f"{len(failed)} of {total} runs failed: "
            + ", ".join(str(study_dir / name / LOG) for name in failed)
        )


def start() -> None:
    """Parses the flags, runs the command and exits."""
    command.run(main)


if __name__ == "__main__":
    start()
