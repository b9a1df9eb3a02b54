"""Runs commands as a shell would, each in a fork of one process that imported TensorFlow once.

A fork meets the flags, the logging and the devices as a new process does, and spares the five
seconds of the import. `Forks` starts the process, `python -m tests.support.forked_commands` is it.
`bare_machine` is the one that the tests of a process share.
"""

import dataclasses
import functools
import gc
import importlib
import json
import os
import pathlib
import runpy
import shlex
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import traceback
from collections.abc import Mapping, Sequence
from typing import NoReturn

ROOT = pathlib.Path(__file__).parents[2]
# Builds the database's dataset, as a command below.
BUILD = "tensorflow_datasets.scripts.cli.main build {root}/cxr_tfds/covid19_radiography"
# A command that takes longer hangs, and is ended by SIGALRM.
_MOST_SECONDS = 600
# What the commands import. Not the commands themselves: their flags can be defined but once.
_IMPORTED = (
    "keras",
    "tensorflow",
    "tensorflow_datasets.scripts.cli.main",
    "cxr_tfds.covid19_radiography",
    "trainer.evaluation.report",
    "trainer.evaluation.model_report",
    "trainer.explain.gallery",
    "trainer.export.package",
    "trainer.training.features",
    "trainer.training.loop",
    "trainer.training.observers.tensorboard",
)


def split(command: str) -> tuple[str, list[str]]:
    """Splits a command, from `python -m` on, into its module and its arguments."""
    module, *arguments = shlex.split(command)
    return module, arguments


@dataclasses.dataclass(frozen=True)
class Ended:
    """How a command ended.

    Attributes:
        code: its exit code; -N if signal N ended it.
        seconds: from its start, the import of TensorFlow not counted.
        computing: the seconds in which a processor worked for it.
        said: what it wrote to stdout, and then what it wrote to stderr.
    """

    code: int
    seconds: float
    computing: float
    said: str


class Forks:
    """The process that is forked.

    Attributes:
        environment: variables of all commands, on top of this process' own.
    """

    def __init__(self, folder: pathlib.Path, environment: Mapping[str, str]) -> None:
        """Starts it.

        Args:
            folder: for what the commands write; removed at its end.
            environment: variables of all commands, on top of this process' own.
        """
        self._folder = folder
        self._logs = [folder / "stdout", folder / "stderr"]
        self.environment = environment
        self._process = subprocess.Popen(  # noqa: S603
            [sys.executable, "-m", __name__],
            cwd=ROOT,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env=os.environ | environment,
        )

    def end(self) -> None:
        """Ends the process."""
        self._process.communicate()
        shutil.rmtree(self._folder, ignore_errors=True)

    def run(
        self,
        module: str,
        arguments: Sequence[str],
        directory: pathlib.Path,
        environment: Mapping[str, str] | None = None,
    ) -> Ended:
        """Runs a command and waits for its end.

        Args:
            module: what `python -m` is given.
            arguments: the words after it.
            directory: the working directory.
            environment: variables of this command alone.
        """
        logs = list(map(str, self._logs))
        order = [module, list(arguments), str(directory), dict(environment or {}), logs]
        self._process.stdin.write(json.dumps(order) + "\n")
        self._process.stdin.flush()
        answer = json.loads(self._process.stdout.readline())
        said = "".join(log.read_text(errors="replace") for log in self._logs)
        return Ended(*answer, said=said)


@functools.cache
def bare_machine() -> Forks:
    """Commands on a machine without GPUs, network, or anything in its home directory."""
    home = pathlib.Path(tempfile.mkdtemp(prefix="home-"))
    return Forks(home, {
        "PYTHONPATH": str(ROOT), "CUDA_VISIBLE_DEVICES": "-1", "HOME": str(home),
        "KERAS_HOME": str(home / "keras"), "MPLCONFIGDIR": str(home),
        "CXR_CACHE_DIR": str(home / "cache"), "TMPDIR": str(home),
        # Nothing listens there.
        "https_proxy": "http://127.0.0.1:9",
    })  # fmt: skip


def _serve() -> None:
    """Forks for every line of stdin; answers with exit code, seconds and those of computing."""
    for module in _IMPORTED:
        importlib.import_module(module)
    gc.freeze()  # A collection in a fork would touch, and so copy, all that was imported.
    for line in sys.stdin:
        start = time.monotonic()
        child = os.fork()
        if child == 0:
            _become(*json.loads(line))
        _, status, used = os.wait4(child, 0)
        seconds = time.monotonic() - start, used.ru_utime + used.ru_stime
        answer = [os.waitstatus_to_exitcode(status), *seconds]
        print(json.dumps(answer), flush=True)


def _become(
    module: str, arguments: list[str], directory: str, environment: dict[str, str], logs: list[str]
) -> NoReturn:
    """Does in this process what `python -m` does in a new one, and ends it."""
    signal.alarm(_MOST_SECONDS)
    nothing = os.open(os.devnull, os.O_RDWR)
    said = [os.open(log, os.O_WRONLY | os.O_CREAT | os.O_TRUNC) for log in logs]
    for number, file in enumerate((nothing, *said)):
        os.dup2(file, number)
    os.chdir(directory)
    os.environ.update(environment)
    sys.argv = [module, *arguments]
    code = 0
    try:
        runpy.run_module(module, run_name="__main__", alter_sys=True)
    except SystemExit as end:
        code = end.code or 0
    except BaseException:
        traceback.print_exc()
        code = 1
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)  # Python's own ending would touch all that was imported, too.


if __name__ == "__main__":
    _serve()
