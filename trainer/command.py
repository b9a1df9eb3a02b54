"""How every command starts and ends: flags in, one sentence for a user's mistake, exit code."""

import functools
import logging as python_logging
import os
import pathlib
import sys
from collections.abc import Callable, Sequence
from types import ModuleType

from absl import app, flags, logging

from cxr_command import standard_streams, usage
from cxr_command.foreign_text import one_line
from cxr_command.stop_signals import Terminated
from cxr_command.wrong_flags import in_words
from trainer.errors import Preempted, UserError, WorkerLost

_PACKAGE = str(pathlib.Path(__file__).parent)


def run(
    main: Callable[..., None],
    *,
    starts_another: bool = False,
    before_devices: Callable[[], None] | None = None,
) -> None:
    """Parses the flags, calls `main` and exits with the code that fits what happened.

    Args:
        main: the command; it reads `flags.FLAGS` and raises the errors of `trainer.errors`.
        starts_another: whether what stands after `--` is another command, a list of words that
            `main` is called with.
        before_devices: is called as soon as the flags are known. When `main` is, TensorFlow has
            listed its devices, and read those settings of its own that stand in the environment.

    Exit codes: 0 done, 2 a mistake of the user's (one sentence on stderr), 3 a training that
    diverged, 75 a training that was asked to stop and can go on, 76 a worker that lost another or
    its port, 130 interrupted, 143 terminated by SIGTERM or SIGHUP.
    """
    standard_streams.outlive_readers()

    def call(argv: Sequence[str]) -> None:
        _call(functools.partial(main, list(argv[1:])) if starts_another else main)

    def parse(argv: Sequence[str]) -> list[str]:
        usage.show_if_asked(argv, main)
        _log_in_few_words(sys.modules[main.__module__])
        rest = _parse_flags(argv, starts_another=starts_another)
        if before_devices:
            _call(before_devices)
        return rest

    app.run(call, flags_parser=parse)


def _parse_flags(argv: Sequence[str], *, starts_another: bool) -> list[str]:
    try:
        rest = flags.FLAGS(argv)
    except flags.Error as error:
        _exit_for_user(f"{in_words(error)}; see --help")
    if starts_another and (len(rest) == 1 or "--" not in argv):
        _exit_for_user("expected a command after --. See --help.")
    if len(rest) > 1 and not starts_another:
        _exit_for_user(f"unexpected argument {rest[1]!r}; every option is a --flag. See --help.")
    return rest


def _log_in_few_words(command: ModuleType) -> None:
    """Shows the time and the message; of what the libraries log, their errors alone."""
    ours = (_PACKAGE, str(pathlib.Path(command.__file__).parent))

    def is_worth_showing(record: python_logging.LogRecord) -> bool:
        return record.levelno >= python_logging.ERROR or record.pathname.startswith(ours)

    logging.use_absl_handler()
    logging.set_verbosity(logging.INFO)
    handler = logging.get_absl_handler()
    handler.setFormatter(_OneLine("%(asctime)s %(message)s", "%H:%M:%S"))
    handler.addFilter(is_worth_showing)
    handler.python_handler.setStream(sys.stderr)
    python_logging.getLogger("tensorflow").setLevel(python_logging.ERROR)


class _OneLine(python_logging.Formatter):
    """Lets no name of a file or a class end a line or move the cursor."""

    def formatMessage(self, record: python_logging.LogRecord) -> str:
        record.message = one_line(record.message)
        return super().formatMessage(record)


def _call(main: Callable[[], None]) -> None:
    try:
        main()
        sys.stdout.flush()
    except UserError as error:
        _exit_for_user(str(error), error.exit_code)
    except OSError as error:
        if error.filename is None:
            raise
        # A name that is too long, or of a place where one may not look: `Path.exists` raises too.
        _exit_for_user(f"{error.filename} cannot be used ({error.strerror}); give another path")
    except (Preempted, Terminated) as stop:
        print(f"stopped: {stop}", file=sys.stderr)
        sys.exit(stop.exit_code)
    except WorkerLost as loss:
        print(f"error: {loss}", file=sys.stderr, flush=True)
        # Without TensorFlow's own ending, which would wait for the lost worker.
        os._exit(loss.exit_code)
    except KeyboardInterrupt:
        print("\ninterrupted", file=sys.stderr)
        sys.exit(130)


def _exit_for_user(sentence: str, code: int = UserError.exit_code) -> None:
    print(f"error: {one_line(sentence)}", file=sys.stderr)
    sys.exit(code)
