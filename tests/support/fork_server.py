"""The process started by `forked_commands.Forks`: imports TensorFlow once and forks.

It receives orders over a socket, whose descriptor is its argument.
"""

import contextlib
import functools
import gc
import importlib
import inspect
import json
import math
import os
import pathlib
import runpy
import signal
import socket
import sys
import time
import traceback
from typing import NoReturn

from tests.support.forked_commands import MOST_BYTES, ROOT

# A command that takes longer is considered hanging, and ended by SIGALRM.
_MOST_SECONDS = 600
# Imports of the commands. Not the commands themselves, as flags can only be defined once.
_IMPORTED = (
    "keras",
    "openpyxl",
    "tensorflow",
    "tensorflow_datasets.scripts.cli.main",
    "cxr_tfds.covid19_radiography",
    "trainer.evaluation.report",
    "trainer.evaluation.model_report",
    "trainer.explain.gallery",
    "trainer.export.package",
    "trainer.export.served",
    "trainer.training.features",
    "trainer.training.loop",
    "trainer.training.observers.tensorboard",
)


class _Server:
    """Forks processes and waits for them."""

    def __init__(self) -> None:
        self._reports: dict[int, int] = {}

    def start(
        self, files: list[int], module: str, arguments: list[str], directory: str, own: dict
    ) -> int:
        """Starts a command; returns its process id."""
        reading, writing = os.pipe()
        child = os.fork()
        if child == 0:
            _become(module, arguments, directory, own, files, writing)
        os.close(writing)
        self._reports[child] = reading
        return child

    def wait(self, files: list[int], child: int, seconds: float | None) -> list | None:
        """Returns its exit code and CPU seconds; None if it runs longer than the time limit."""
        until = math.inf if seconds is None else time.monotonic() + seconds
        options = 0 if seconds is None else os.WNOHANG
        ended, status, used = os.wait4(child, options)
        while not ended:
            if time.monotonic() >= until:
                return None
            time.sleep(0.005)
            ended, status, used = os.wait4(child, options)
        with open(self._reports.pop(child), "rb", buffering=0) as report:
            os.set_blocking(report.fileno(), False)
            for function in json.loads(report.read(MOST_BYTES) or "[]"):
                _convert(*function)
        return [os.waitstatus_to_exitcode(status), used.ru_utime + used.ru_stime]


def _serve(orders: socket.socket) -> None:
    """Executes orders until the client is gone."""
    gc.disable()
    for module in _IMPORTED:
        importlib.import_module(module)
    _import_datasets()
    gc.freeze()  # A garbage collection in a fork would touch, and so copy, all imported objects.
    gc.set_threshold(10_000)  # Tracing makes many objects and little garbage.
    gc.enable()
    server = _Server()
    while True:
        order, files, _, _ = socket.recv_fds(orders, MOST_BYTES, 2)
        if not order:
            return
        name, *arguments = json.loads(order)
        answer = getattr(server, name)(files, *arguments)
        for file in files:
            os.close(file)
        orders.send(json.dumps(answer).encode())


def _import_datasets() -> None:
    """Makes TFDS import all of its datasets, as it does for an unknown name."""
    import tensorflow_datasets as tfds

    with contextlib.suppress(tfds.core.registered.DatasetNotFoundError):
        tfds.builder_cls("none_of_them")


def _converted() -> list[tuple[str, str, bool]]:
    """Returns this project's functions converted by AutoGraph: module, name and options."""
    from tensorflow.python.autograph.impl import api

    found = []
    for code, ways in api._TRANSPILER._cache._cache.items():
        file = pathlib.Path(code.co_filename)
        if file.is_relative_to(ROOT) and "<locals>" not in code.co_qualname:
            module = ".".join(file.relative_to(ROOT).with_suffix("").parts)
            found += [(module, code.co_qualname, options.user_requested) for options in ways]
    return found


def _convert(module: str, name: str, user_requested: bool) -> None:
    """Converts a function like a fork did, for reuse by later forks."""
    from tensorflow.python.autograph.core import converter
    from tensorflow.python.autograph.impl import api

    if module not in sys.modules:  # A command, whose flags can only be defined once.
        return
    function = inspect.unwrap(functools.reduce(getattr, name.split("."), sys.modules[module]))
    options = converter.ConversionOptions(
        recursive=True, user_requested=user_requested, optional_features=()
    )
    api._TRANSPILER.transform(function, converter.ProgramContext(options))


def _become(
    module: str, arguments: list[str], directory: str, own: dict, files: list[int], report: int
) -> NoReturn:
    """Does in this process what `python -m` does in a new one, and exits."""
    signal.alarm(_MOST_SECONDS)
    nothing = os.open(os.devnull, os.O_RDWR)
    for number, file in enumerate((nothing, *files)):
        os.dup2(file, number)
        os.close(file)
    os.chdir(directory)
    os.environ.update(own)
    sys.argv = [module, *arguments]
    code = 0
    before = set(_converted())
    try:
        if module == "-c":
            program = sys.argv.pop(1)
            exec(program, {"__name__": "__main__"})  # noqa: S102
        else:
            runpy.run_module(module, run_name="__main__", alter_sys=True)
    except SystemExit as end:
        code = end.code or 0
    except BaseException:
        traceback.print_exc()
        code = 1
    sys.stdout.flush()
    sys.stderr.flush()
    os.write(report, json.dumps([one for one in _converted() if one not in before]).encode())
    os._exit(code)  # Python's shutdown would touch all imported objects, too.


if __name__ == "__main__":
    with socket.socket(fileno=int(sys.argv[1])) as told:
        _serve(told)
