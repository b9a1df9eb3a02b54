"""Starts a child process that never outlives this one."""

import ctypes
import os
import pathlib
import signal
import subprocess
import sys
from collections.abc import Mapping, Sequence
from typing import Any

from trainer.errors import UserError

# linux/prctl.h: the signal that a process receives when its parent dies.
_PR_SET_PDEATHSIG = 1
# Loaded here, as little is allowed between fork and exec.
_LIBC = ctypes.CDLL(None) if sys.platform == "linux" else None
# The directory of this project's packages.
_ROOT = pathlib.Path(__file__).resolve().parents[2]


def python_module(name: str) -> list[str]:
    """Returns the command that runs a module of this project.

    `-P` keeps files of the working directory, such as a user's `trainer.py`, from being imported
    instead. It is left out in the checkout, where the working directory has the modules.

    Args:
        name: dotted name of the module.
    """
    options = [] if pathlib.Path.cwd() == _ROOT else ["-P"]
    return [sys.executable, *options, "-m", name]


def start(
    command: Sequence[str], environment: Mapping[str, str], **streams: Any
) -> subprocess.Popen:
    """Starts a child in its own session; this process forwards signals of the terminal, once.

    The child is killed when this process dies. Otherwise it would continue training after its
    launcher was killed, in parallel with a second start.

    Args:
        command: the command as a list of words.
        environment: environment variables added to this process' own.
        **streams: its `stdout` and `stderr`, as for `subprocess`.

    Returns:
        The process.

    Raises:
        UserError: the command cannot be started.
    """
    parent = os.getpid()

    def die_with_parent() -> None:
        if _LIBC:
            _LIBC.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
            if os.getppid() != parent:  # The parent has already died.
                os.kill(os.getpid(), signal.SIGKILL)

    try:
        return subprocess.Popen(  # noqa: S603
            command,
            env=os.environ | environment,
            stdin=subprocess.DEVNULL,
            start_new_session=True,
            preexec_fn=die_with_parent,
            **streams,
        )
    except OSError as error:
        raise UserError(f"{command[0]} could not be started: {error.strerror}") from error
