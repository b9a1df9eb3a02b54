"""Entry and exit of the commands in trainer and launch."""

import shlex
import sys
from collections.abc import Callable
from typing import Any, NoReturn

from cxr_command.runner import Command
from trainer.errors import Preempted, UserError, WorkerLost


def run(main: Callable[..., None], **options: Any) -> NoReturn:
    """Parses the flags, calls `main` and exits with the matching exit code.

    Args:
        main: the command; it reads `flags.FLAGS` and raises the errors of `trainer.errors`.
        **options: `define_flags`, `starts_another` or `before_devices` of `Command`.
    """
    errors = (UserError, Preempted, WorkerLost)
    Command(main, label="error", errors=errors, is_job=True, **options).run()


def as_typed(module: str) -> str:
    """Returns the command line of this process, ready to be run again.

    Args:
        module: dotted name of the command's module.
    """
    return shlex.join(["python", "-m", module, *sys.argv[1:]])
