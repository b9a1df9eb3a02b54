"""Starts a process that never outlives this one."""

import ctypes
import os
import signal
import subprocess
import sys
from collections.abc import Mapping, Sequence
from typing import Any

from trainer.errors import UserError

# linux/prctl.h: the signal that a process gets when the one that started it dies.
_PR_SET_PDEATHSIG = 1
# Loaded here: between fork and exec there is little that may be done.
_LIBC = ctypes.CDLL(None) if sys.platform == "linux" else None


def start(
    command: Sequence[str], environment: Mapping[str, str], **streams: Any
) -> subprocess.Popen:
    """Starts a process in a session of its own: this one passes signals of the terminal on, once.

    Without its end at the end of this one, a process would train on after its launcher was killed,
    beside a second start.

    Args:
        command: the words of its command.
        environment: its variables, on top of this process' own.
        **streams: its `stdout` and `stderr`, as `subprocess` takes them.

    Returns:
        The process.

    Raises:
        UserError: the command cannot be started.
    """
    parent = os.getpid()

    def die_with_parent() -> None:
        if _LIBC:
            _LIBC.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
            if os.getppid() != parent:  # It has died already.
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
