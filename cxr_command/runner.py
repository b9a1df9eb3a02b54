"""Start and end of every command: parses flags, shows a user's mistake in one line, exits."""

import contextlib
import dataclasses
import os
import re
import sys
from collections.abc import Callable, Iterator, Sequence
from typing import NoReturn, TypeGuard

from absl import app, flags

from cxr_command import log, standard_streams, usage
from cxr_command.exit_codes import STOPPED, ExitCode
from cxr_command.foreign_text import one_line
from cxr_command.stop_signals import Terminated, raising


@dataclasses.dataclass(frozen=True)
class Command:
    """A command with its start-up and exit behaviour.

    Attributes:
        main: does the work, using `flags.FLAGS`.
        define_flags: defines its flags; None if importing the module defines them.
        label: prefix of error messages; None: the command's name.
        errors: exceptions that end the command with their message and `exit_code` (`MISTAKE` if
            they have none), skipping Python's shutdown if they have `ends_at_once`.
        is_job: whether the work continues when the reader of its output is gone, and `main` handles
            SIGTERM and SIGHUP itself. Otherwise these end the command, and context managers clean
            up.
        starts_another: whether the words after `--` are another command, with which `main` is
            called.
        before_devices: called as soon as the flags are parsed. By the time `main` is called,
            TensorFlow has listed its devices and read its settings from the environment.
    """

    main: Callable[..., None]
    define_flags: Callable[[], None] | None = None
    label: str | None = None
    errors: tuple[type[BaseException], ...] = (ValueError, OSError)
    is_job: bool = False
    starts_another: bool = False
    before_devices: Callable[[], None] | None = None

    def run(self) -> NoReturn:
        """Parses the flags, calls `main` and exits with the matching exit code."""
        standard_streams.outlive_readers(of_output=self.is_job)
        with self._ended():
            app.run(self._call, flags_parser=self._parse)

    @contextlib.contextmanager
    def _ended(self) -> Iterator[None]:
        """Ends the process with the message and code of a user error raised inside."""
        told: tuple[type[BaseException], ...] = (flags.Error, Terminated, *self.errors)
        try:
            yield
        except KeyboardInterrupt:
            print("\ninterrupted", file=sys.stderr)
            sys.exit(ExitCode.INTERRUPTED)
        except BaseException as error:
            if not _names_file(error) and not isinstance(error, told):
                raise
            self._end(error)

    def _parse(self, argv: Sequence[str]) -> list[str]:
        if self.define_flags:
            self.define_flags()
        usage.show_if_asked(argv, self.main)
        log.set_up()
        rest = flags.FLAGS(argv)
        if self.starts_another and (len(rest) == 1 or "--" not in argv):
            raise flags.Error("expected a command after --")
        if len(rest) > 1 and not self.starts_another:
            raise flags.Error(f"unexpected argument {rest[1]!r}; every option is a --flag")
        if self.before_devices:
            self.before_devices()
        return rest

    def _call(self, argv: Sequence[str]) -> None:
        # Inside this function, to precede handlers that others have installed in absl.
        with self._ended():
            with contextlib.nullcontext() if self.is_job else raising():
                self.main(*[list(argv[1:])] if self.starts_another else [])
            sys.stdout.flush()

    def _end(self, error: BaseException) -> NoReturn:
        if isinstance(error, BrokenPipeError):
            sys.exit(ExitCode.READER_LEFT)
        code = getattr(error, "exit_code", ExitCode.MISTAKE)
        spec = sys.modules[self.main.__module__].__spec__
        label = self.label or (spec.name if spec else self.main.__module__)
        label = "stopped" if code in STOPPED else label
        said = _sentence(error)
        said = said if getattr(error, "has_lines", False) else one_line(said)
        print(f"{label}: {said}", file=sys.stderr, flush=True)
        if getattr(error, "ends_at_once", False):
            os._exit(code)
        sys.exit(code)


def _names_file(error: BaseException) -> TypeGuard[OSError]:
    return isinstance(error, OSError) and error.filename is not None


def _sentence(error: BaseException) -> str:
    if isinstance(error, flags.Error):
        return f"{in_words(error)}; see --help"
    if not _names_file(error):
        return str(error)
    if error.filename == standard_streams.OUTPUT:
        return f"cannot write the output ({error.strerror})."
    # The name may be too long, or its folder inaccessible: `Path.exists` also raises.
    return f"{error.filename} cannot be used ({error.strerror}); give another path"


# absl's messages about flags, and the same in plain words.
_PLAINER: list[tuple[str, str | Callable[[re.Match[str]], str]]] = [
    (r"^flag (?=--)", ""),
    (r"Unknown command line flag '(.*?)'", r"unknown flag --\1"),
    (
        r"\. Did you mean: (.*) \?$",
        lambda found: f" (did you mean --{found[1].replace(', ', ' or --')}?)",
    ),
    (
        r"value should be one of <(.*)>",
        lambda found: f"expected one of {found[1].replace('|', ', ')}",
    ),
    (r"invalid literal for int\(\).*", "expected a whole number"),
    (r"could not convert string to float.*", "expected a number"),
]


def in_words(error: flags.Error) -> str:
    """Returns absl's message about a flag, with Python terms replaced by plain words.

    Args:
        error: the exception raised by the flag parser.
    """
    text = str(error).rstrip(".")
    if missing := re.search(r"Flag (--\w+) must have a value other than None", text):
        return f"{missing[1]} is missing"
    for said, meant in _PLAINER:
        text = re.sub(said, meant, text)
    return text
