"""How every command starts and ends: flags in, one sentence for a user's mistake, exit code."""

import functools
import logging as python_logging
import os
import pathlib
import re
import sys
from collections.abc import Callable, Sequence

from absl import app, flags, logging

from trainer.errors import Preempted, Terminated, UserError, WorkerLost

_PACKAGE = str(pathlib.Path(__file__).parent)


def run(main: Callable[..., None], *, starts_another: bool = False) -> None:
    """Parses the flags, calls `main` and exits with the code that fits what happened.

    Args:
        main: the command; it reads `flags.FLAGS` and raises the errors of `trainer.errors`.
        starts_another: whether what stands after `--` is another command, a list of words that
            `main` is called with.

    Exit codes: 0 done, 2 a mistake of the user's (one sentence on stderr), 3 a training that
    diverged, 75 a training that was asked to stop and can go on, 76 a worker that lost another,
    130 interrupted, 143 terminated.
    """

    def call(argv: Sequence[str]) -> None:
        _call(functools.partial(main, list(argv[1:])) if starts_another else main)

    app.run(call, flags_parser=functools.partial(_parse_flags, starts_another=starts_another))


def _parse_flags(argv: Sequence[str], *, starts_another: bool) -> list[str]:
    _log_in_few_words()
    try:
        rest = flags.FLAGS(argv)
    except flags.Error as error:
        _exit_for_user(f"{_in_words(error)}; see --help")
    if flags.FLAGS.help or flags.FLAGS.helpfull:
        print(sys.modules["__main__"].__doc__)
        print(flags.FLAGS.main_module_help())
        sys.exit(0)
    if starts_another and (len(rest) == 1 or "--" not in argv):
        _exit_for_user("expected a command after --. See --help.")
    if len(rest) > 1 and not starts_another:
        _exit_for_user(f"unexpected argument {rest[1]!r}; every option is a --flag. See --help.")
    return rest


def _in_words(error: flags.Error) -> str:
    """What absl says of a flag, where it is Python's words in those of a person."""
    text = str(error).rstrip(".")
    if missing := re.search(r"Flag (--\w+) must have a value other than None", text):
        return f"{missing[1]} is missing"
    text = re.sub(r"invalid literal for int\(\).*", "expected a whole number", text)
    return re.sub(r"could not convert string to float.*", "expected a number", text)


def _log_in_few_words() -> None:
    """Shows the time and the message; of what the libraries log, their errors alone."""
    logging.use_absl_handler()
    logging.set_verbosity(logging.INFO)
    handler = logging.get_absl_handler()
    handler.setFormatter(python_logging.Formatter("%(asctime)s %(message)s", "%H:%M:%S"))
    handler.addFilter(_is_worth_showing)
    python_logging.getLogger("tensorflow").setLevel(python_logging.ERROR)


def _is_worth_showing(record: python_logging.LogRecord) -> bool:
    ours = (_PACKAGE, str(pathlib.Path(sys.modules["__main__"].__file__).parent))
    return record.levelno >= python_logging.ERROR or record.pathname.startswith(ours)


def _call(main: Callable[[], None]) -> None:
    try:
        main()
    except UserError as error:
        _exit_for_user(str(error), error.exit_code)
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
    print(f"error: {sentence}", file=sys.stderr)
    sys.exit(code)
