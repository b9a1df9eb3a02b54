"""Runs commands like a shell, each in a fork of one process that has imported TensorFlow.

A fork sees flags, logging and devices like a new process, without the five seconds of the import.
`Forks` starts the process, which runs tests/support/fork_server.py. `bare_machine` is the instance
shared by the tests of a process.
"""

import contextlib
import dataclasses
import functools
import io
import json
import os
import pathlib
import shlex
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from typing import Any, TextIO

ROOT = pathlib.Path(__file__).parents[2]
# Builds the database's dataset, as a command below.
BUILD = "tensorflow_datasets.scripts.cli.main build {root}/cxr_tfds/covid19_radiography"
# Maximum size of an order or an answer, in bytes.
MOST_BYTES = 1 << 20


def split(command: str) -> tuple[str, list[str]]:
    """Splits a command, from `python -m` on, into module and arguments."""
    module, *arguments = shlex.split(command)
    return module, arguments


@dataclasses.dataclass(frozen=True)
class Ended:
    """How a command ended.

    Attributes:
        code: its exit code; -N if signal N ended it.
        seconds: seconds since its start, excluding the import of TensorFlow.
        computing: its CPU seconds.
        stdout: its standard output.
        stderr: its standard error.
    """

    code: int
    seconds: float
    computing: float
    stdout: str
    stderr: str

    @property
    def said(self) -> str:
        """Its stdout followed by its stderr."""
        return self.stdout + self.stderr


class Running:
    """A command running in a fork, with the interface of `subprocess.Popen`.

    Attributes:
        pid: its process id.
        returncode: its exit code, None while it runs; -N if signal N ended it.
        computing: its CPU seconds, once it has ended.
        stderr: its standard error.
    """

    def __init__(self, forks: "Forks", pid: int, stderr: TextIO) -> None:
        self._forks = forks
        self.pid = pid
        self.returncode: int | None = None
        self.computing = 0.0
        self.stderr = stderr

    def poll(self) -> int | None:
        """The exit code, or None while it runs."""
        return self._ended(0.0)

    def wait(self, timeout: float | None = None) -> int:
        """Waits for its end and returns the exit code."""
        code = self._ended(timeout)
        if code is None:
            raise subprocess.TimeoutExpired(str(self.pid), timeout)
        return code

    def communicate(self, timeout: float | None = None) -> tuple[None, str]:
        """Waits for its end; returns None, as its stdout is not kept, and its stderr."""
        said = self.stderr.read()
        self.wait(timeout)
        return None, said

    def send_signal(self, number: int) -> None:
        """Sends it a signal, unless it has ended."""
        if self.poll() is None:
            os.kill(self.pid, number)

    def _ended(self, seconds: float | None) -> int | None:
        if self.returncode is None:
            answer = self._forks.ask(["wait", self.pid, seconds])
            if answer is not None:
                self.returncode, self.computing = answer
        return self.returncode


class Forks:
    """The forking process.

    Attributes:
        environment: environment variables of all commands, added to this process' own.
    """

    def __init__(
        self, folder: pathlib.Path, environment: Mapping[str, str], root: pathlib.Path = ROOT
    ) -> None:
        """Starts the process.

        Args:
            folder: folder for output of the commands, removed at the end.
            environment: environment variables of all commands, added to this process' own.
            root: directory of the packages.
        """
        self._folder = folder
        self._logs = [folder / "stdout", folder / "stderr"]
        self.environment = environment
        self._socket, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        with theirs:
            self._process = subprocess.Popen(  # noqa: S603
                [sys.executable, "-m", "tests.support.fork_server", str(theirs.fileno())],
                cwd=root,
                stdin=subprocess.DEVNULL,
                pass_fds=[theirs.fileno()],
                env=os.environ | environment,
            )

    def end(self) -> None:
        """Ends the process."""
        self._socket.close()
        self._process.wait()
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
            module: argument of `python -m`; or -c, with the program as the first argument.
            arguments: the words after it.
            directory: the working directory.
            environment: environment variables of this command.
        """
        began = time.monotonic()
        with contextlib.ExitStack() as files:
            out, err = (files.enter_context(log.open("wb")).fileno() for log in self._logs)
            pid = self._start(module, arguments, directory, environment, out, err)
        running = Running(self, pid, io.StringIO())
        code = running.wait()
        said = (log.read_text(errors="replace") for log in self._logs)
        return Ended(code, time.monotonic() - began, running.computing, *said)

    def start(
        self,
        module: str,
        arguments: Sequence[str],
        directory: pathlib.Path,
        environment: Mapping[str, str] | None = None,
    ) -> Running:
        """Starts a command with the arguments of `run`; its stdout is discarded."""
        reading, writing = os.pipe()
        with open(writing, "wb") as err, open(os.devnull, "wb") as out:
            said = out.fileno(), err.fileno()
            pid = self._start(module, arguments, directory, environment, *said)
        return Running(self, pid, open(reading, errors="replace"))

    def _start(
        self,
        module: str,
        arguments: Sequence[str],
        directory: pathlib.Path,
        environment: Mapping[str, str] | None,
        *streams: int,
    ) -> int:
        """Starts a command that writes to two files, stdout and stderr; returns its process id."""
        command = [module, list(arguments), str(directory), dict(environment or {})]
        return self.ask(["start", *command], *streams)

    def ask(self, order: list, *files: int) -> Any:
        """Sends an order, with open files, to the process; returns its answer."""
        socket.send_fds(self._socket, [json.dumps(order).encode()], files)
        answer = self._socket.recv(MOST_BYTES)
        assert answer, "the process that forks has ended"
        return json.loads(answer)


@functools.cache
def bare_machine() -> Forks:
    """Runs commands as on a machine without GPUs, network, or files in its home directory."""
    home = pathlib.Path(tempfile.mkdtemp(prefix="home-"))
    return Forks(home, {
        "PYTHONPATH": str(ROOT), "CUDA_VISIBLE_DEVICES": "-1", "HOME": str(home),
        "KERAS_HOME": str(home / "keras"), "MPLCONFIGDIR": str(home),
        "CXR_CACHE_DIR": str(home / "cache"), "TMPDIR": str(home),
        # Nothing listens there.
        "https_proxy": "http://127.0.0.1:9",
    })  # fmt: skip
