"""How every command starts and ends: flags in, one sentence for a user's mistake, exit code."""

import sys
from collections.abc import Callable, Sequence

from absl import app, flags, logging

from trainer.errors import Preempted, UserError


def run(main: Callable[[], None]) -> None:
    """Parses the flags, calls `main` and exits with the code that fits what happened.

    Args:
        main: the command; it reads `flags.FLAGS` and raises the errors of `trainer.errors`.

    Exit codes: 0 done, 2 a mistake of the user's (one sentence on stderr), 3 a training that
    diverged, 75 a training that was asked to stop and can go on, 130 interrupted.
    """
    app.run(lambda _: _call(main), flags_parser=_parse_flags)


def _parse_flags(argv: Sequence[str]) -> list[str]:
    logging.use_absl_handler()
    logging.set_verbosity(logging.INFO)
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
