"""How the commands of this package begin and fail: flags in, one sentence out."""

import io
import os
import signal
import sys
from collections.abc import Callable

from absl import app, flags

from cxr_command import usage
from cxr_command.wrong_flags import in_words

# The flags defined here are those of the command that asks for them, also in its --help.
flags.disclaim_key_flags()


def run(name: str, define_flags: Callable[[], None], main: Callable[[], None]) -> None:
    """Runs a command; whatever is wrong with its input ends it with one sentence and code 2.

    An interrupted command ends with code 130, a terminated one with 143, and one whose reader has
    left (`| head`) with 141, as a shell has it.

    Args:
      name: The command, such as "cxr_tfds.audit".
      define_flags: Defines its flags.
      main: Does its work, and reads `flags.FLAGS`.
    """

    def parse(argv: list[str]) -> list[str]:
        define_flags()
        usage.show_if_asked(argv, main)
        try:
            rest = flags.FLAGS(argv)
        except flags.Error as error:
            _fail(name, f"{in_words(error)}.")
        if rest[1:]:
            _fail(name, f"unexpected argument {rest[1]!r}: everything is given by flags.")
        return rest

    def guarded(argv: list[str]) -> None:
        del argv
        # As an exception, so that what is half-written is removed on the way out.
        signal.signal(signal.SIGTERM, lambda *_: _fail(name, "ended by SIGTERM.", code=143))
        if signal.getsignal(signal.SIGHUP) != signal.SIG_IGN:  # As under nohup.
            signal.signal(signal.SIGHUP, lambda *_: _fail(name, "ended by SIGHUP.", code=143))
        try:
            main()
        except OSError as error:
            if error.errno and not error.filename:
                raise  # What has no name is stdout.
            _fail(name, f"{error.filename}: {error.strerror}." if error.filename else str(error))
        except ValueError as error:
            _fail(name, str(error))
        except KeyboardInterrupt:
            _fail(name, "interrupted.", code=130)

    if isinstance(sys.stdout, io.TextIOWrapper):  # None where somebody closed it.
        sys.stdout.reconfigure(errors="backslashreplace")  # For names that the locale cannot write.
    try:
        _print_all(lambda: app.run(guarded, flags_parser=parse))
    except BrokenPipeError:
        sys.exit(141)
    except OSError as error:
        _fail(name, f"the output cannot be written ({error.strerror}).")


def _print_all(call: Callable[[], None]) -> None:
    """Calls a function, and raises an error if what it prints cannot be written."""
    try:
        call()
    finally:
        try:
            if sys.stdout:
                sys.stdout.flush()
        except OSError:
            # Python would try it once more when it ends.
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
            raise


def define_dataset_flags() -> None:
    """Defines the flags that name a built dataset."""
    flags.DEFINE_string("data_dir", None, "Where `tfds build` put datasets.", required=True)
    flags.DEFINE_string("config", "224x224", "The configuration that was built.")


def _fail(name: str, sentence: str, code: int = 2) -> None:
    if sys.stderr:  # None where somebody closed it: print would take stdout.
        print(f"{name}: {sentence}", file=sys.stderr)
    sys.exit(code)
