"""How every command starts and ends: flags in, one sentence for a user's mistake, exit code."""

import logging as python_logging
import pathlib
import sys
from collections.abc import Callable, Sequence

from absl import app, flags, logging

from trainer.errors import Preempted, UserError

_PACKAGE = str(pathlib.Path(__file__).parent)


def run(main: Callable[[], None]) -> None:
    """Parses the flags, calls `main` and exits with the code that fits what happened.

    Args:
        main: the command; it reads `flags.FLAGS` and raises the errors of `trainer.errors`.

    Exit codes: 0 done, 2 a mistake of the user's (one sentence on stderr), 3 a training that
    diverged, 75 a training that was asked to stop and can go on, 130 interrupted.
    """
    app.run(lambda _: _call(main), flags_parser=_parse_flags)


def _parse_flags(argv: Sequence[str]) -> list[str]:
    _log_in_few_words()
    try:
        rest = flags.FLAGS(argv)
    except flags.Error as error:
        _exit_for_user(f"{error}. See --help.")
    if flags.FLAGS.help or flags.FLAGS.helpfull:
        print(sys.modules["__main__"].__doc__)
        print(flags.FLAGS.main_module_help())
        sys.exit(0)
    if len(rest) > 1:
        _exit_for_user(f"unexpected argument {rest[1]!r}; every option is a --flag. See --help.")
    return rest


def _log_in_few_words() -> None:
    """Shows the time and the message; of what the libraries log, their errors alone."""
    logging.use_absl_handler()
    logging.set_verbosity(logging.INFO)
    handler = logging.get_absl_handler()
    handler.setFormatter(python_logging.Formatter("%(asctime)s %(message)s", "%H:%M:%S"))
    handler.addFilter(_is_worth_showing)
    python_logging.getLogger("tensorflow").setLevel(python_logging.ERROR)


def _is_worth_showing(record: python_logging.LogRecord) -> bool:
    return record.levelno >= python_logging.ERROR or record.pathname.startswith(_PACKAGE)


def _call(main: Callable[[], None]) -> None:
    try:
        main()
    except UserError as error:
        _exit_for_user(str(error), error.exit_code)
    except Preempted as stop:
        print(f"stopped: {stop}", file=sys.stderr)
        sys.exit(stop.exit_code)
    except KeyboardInterrupt:
        print("\ninterrupted", file=sys.stderr)
        sys.exit(130)


def _exit_for_user(sentence: str, code: int = UserError.exit_code) -> None:
    print(f"error: {sentence}", file=sys.stderr)
    sys.exit(code)
