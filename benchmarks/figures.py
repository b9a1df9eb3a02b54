"""Measures the figures of docs/measured.md in one session, and writes the page from their JSON.

    python -m benchmarks.figures --data_dir=DATA --manual_dir=KAGGLE [--only=input,step]
    python -m benchmarks.figures --only=          # writes the page again, measures nothing

`benchmarks.kept_figures` lists the figures with their commands. Each figure is stored in
docs/figures as soon as it is measured; a failure does not end the session. Measure on an otherwise
idle machine: the last line below a table shows the load.
"""

import datetime
import json
import os
import re
import shlex
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping

from absl import flags, logging

from benchmarks.kept_figures import FIGURES, PAGE, ROOT, Run, keep, with_figures
from cxr_command import whole_file
from cxr_command.exit_codes import ExitCode
from cxr_command.runner import Command
from trainer.progress_line import seconds_shown

# The placeholders of directories on the pages: the flag that sets each.
_DIRECTORIES = {"DATA": "data_dir", "KAGGLE": "manual_dir"}
_DIRECTORY = re.compile(rf"(?<==)(?:{'|'.join(_DIRECTORIES)})\b")
_IDLE = 0.5


def measure(command: str, directories: Mapping[str, str]) -> Run:
    """Runs a benchmark.

    Args:
        command: as of `Figure.commands`.
        directories: values of DATA and KAGGLE.

    Raises:
        ValueError: the command failed.
    """
    words = ["-m", *shlex.split(f"benchmarks.{command}")]
    started = time.monotonic()
    with tempfile.TemporaryFile("w+", errors="replace") as errors:
        done = subprocess.run(  # noqa: S603
            [sys.executable, *(_DIRECTORY.sub(lambda called: directories[called[0]], word)
                               for word in words)],
            stdout=subprocess.PIPE, stderr=errors, text=True, check=False,
        )  # fmt: skip
        if done.returncode:
            errors.seek(0)
            said = errors.read().strip().splitlines() or ["it said nothing"]
            raise ValueError(f"benchmarks.{command} ended with {done.returncode}: {said[-1]}")
    lines = done.stdout.splitlines()
    if not lines:
        raise ValueError(f"benchmarks.{command} printed nothing")
    return {
        "command": shlex.join(["python", *words]),
        "seconds": round(time.monotonic() - started, 1),
        "found": json.loads(lines[-1]),
    }


def measure_all(names: list[str], directories: Mapping[str, str]) -> list[str]:
    """Measures figures one after another, and stores each.

    Args:
        names: names of the figures.
        directories: values of DATA and KAGGLE.

    Returns:
        Names of the figures that failed.
    """
    revision, failed = _revision(), []
    for number, name in enumerate(names, start=1):
        said = f"figure {number} of {len(names)}, {name}"
        try:
            with seconds_shown(said):
                runs = [measure(command, directories) for command in FIGURES[name].commands]
        except ValueError as error:
            logging.error("%s: %s", said, error)
            failed.append(name)
            continue
        date = datetime.datetime.now(datetime.UTC).date().isoformat()
        keep(name, {"date": date, "revision": revision, "runs": runs})
        logging.info("%s: %.0f s", said, sum(run["seconds"] for run in runs))
    return failed


def _revision() -> str:
    # Before the first figure is written, which also changes the revision.
    command = ["git", "describe", "--always", "--dirty", "--abbrev=8"]
    return subprocess.run(  # noqa: S603
        command, cwd=ROOT, capture_output=True, text=True, check=True
    ).stdout.strip()


def check(names: list[str], directories: Mapping[str, str], *, allow_load: bool) -> None:
    """Checks that the figures can be measured, before the long work starts.

    Args:
        names: names of the figures.
        directories: values of DATA and KAGGLE.
        allow_load: whether other work may be running.

    Raises:
        ValueError: a name is unknown, a directory is missing, or other work runs.
    """
    if unknown := [name for name in names if name not in FIGURES]:
        raise ValueError(f"--only: unknown {unknown[0]!r}; expected some of {', '.join(FIGURES)}")
    for name in names:
        for called in _DIRECTORY.findall(" ".join(FIGURES[name].commands)):
            if not os.path.isdir(directories[called]):
                raise ValueError(
                    f"--{_DIRECTORIES[called]}={directories[called]} is no directory, and {name} "
                    f"is measured on the database; give it, or other figures with --only"
                )
    if names and not allow_load and (load := os.getloadavg()[0]) > _IDLE:
        raise ValueError(
            f"the load of this machine is {load:.1f}, and other work would spoil the figures; "
            f"wait until it is below {_IDLE}, or give --allow_load"
        )


def _define_flags() -> None:
    flags.DEFINE_list("only", None, "Figures to measure; default: all but a GPU's. Empty: none.")
    flags.DEFINE_string("data_dir", "", "Data directory of the built database: DATA of the page.")
    flags.DEFINE_string("manual_dir", "", "The database that it was built from: KAGGLE.")
    flags.DEFINE_bool("allow_load", False, "Measure while other work runs.")


def _main() -> None:
    options = flags.FLAGS
    directories = {called: str(options[flag].value) for called, flag in _DIRECTORIES.items()}
    here = [name for name, figure in FIGURES.items() if not figure.on_gpu]
    names = here if options.only is None else options.only
    check(names, directories, allow_load=options.allow_load)
    try:
        failed = measure_all(names, directories)
    finally:
        with whole_file.writing(PAGE) as partial:
            partial.write_text(with_figures(PAGE.read_text()))
    if failed:
        print(f"not measured: {', '.join(failed)}; the log says why", file=sys.stderr)
        sys.exit(ExitCode.FOUND)


if __name__ == "__main__":
    Command(_main, _define_flags).run()
