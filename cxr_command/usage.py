"""The output of `--help`: a command's docstring, then its flags by subject, with defaults."""

import dataclasses
import shutil
import sys
import textwrap
from collections.abc import Callable, Sequence
from types import ModuleType

from absl import flags

_WIDEST = 100
_LABELS = 26


@dataclasses.dataclass(frozen=True)
class _Section:
    title: str
    unset: Callable[[str], str]
    defined_before: frozenset[str]


_SECTIONS: list[_Section] = []


def section(title: str, *, unset: Callable[[str], str] = lambda name: "none") -> None:
    """Puts all flags defined from now on under a title.

    Args:
        title: their common subject.
        unset: describes the meaning of None by the name of a flag with that default.
    """
    _SECTIONS.append(_Section(title, unset, frozenset(flags.FLAGS)))


def show_if_asked(argv: Sequence[str], main: Callable[..., None]) -> None:
    """Prints the help and exits with code 0 if the command line asks for it.

    Args:
        argv: the command line.
        main: the command; the docstring of its module describes its usage.
    """
    words = set(argv[1 : argv.index("--")] if "--" in argv else argv[1:])
    module = sys.modules[main.__module__]
    if words & {"-h", "--help"}:
        print(describe(module, min(shutil.get_terminal_size().columns, _WIDEST)))
        sys.exit(0)
    if "--helpfull" in words:
        print(f"{module.__doc__}\n{flags.FLAGS.get_help()}")
        sys.exit(0)


def describe(module: ModuleType, width: int) -> str:
    """Returns the help of a command.

    Args:
        module: module of the command, whose flags are defined.
        width: maximum line width, except for examples.

    Returns:
        The text.
    """
    parts = [_wrap(paragraph, width) for paragraph in (module.__doc__ or "").strip().split("\n\n")]
    for title, entries in _by_section(module).items():
        lines = [_entry(flag, default, width) for flag, default in entries]
        parts.append("\n".join([f"{title}:", *lines]))
    parts.append("-h, --help shows this help; --helpfull adds the flags of the libraries.")
    return "\n\n".join(parts)


def _wrap(paragraph: str, width: int) -> str:
    """Wraps a paragraph of prose; examples are unchanged."""
    return paragraph if paragraph.startswith(" ") else textwrap.fill(paragraph, width)


def _by_section(module: ModuleType) -> dict[str, list[tuple[flags.Flag, str]]]:
    """Returns the module's flags with the text of their defaults, by title, in definition order."""
    general = _Section("Flags", lambda name: "none", frozenset())
    found: dict[str, list[tuple[flags.Flag, str]]] = {}
    for flag in flags.FLAGS.get_key_flags_for_module(module):
        under = [part for part in _SECTIONS if flag.name not in part.defined_before]
        part = under[-1] if under else general
        found.setdefault(part.title, []).append((flag, _default(flag, part.unset)))
    return found


def _default(flag: flags.Flag, unset: Callable[[str], str]) -> str:
    if flag.default is None and any(not validator.checker(None) for validator in flag.validators):
        return "required"
    if flag.default is None:
        return f"default: {unset(flag.name)}"
    if isinstance(flag.default, list):
        return f"default: {','.join(flag.default) or 'none'}"
    return f"default: {(flag.default_as_str or '').strip(chr(39)) or 'none'}"


def _entry(flag: flags.Flag, default: str, width: int) -> str:
    choices = "|".join(getattr(flag.parser, "enum_values", []))
    text = flag.help.removeprefix(f"<{choices}>: ")  # absl adds them.
    label = f"  --[no]{flag.name}" if flag.boolean else f"  --{flag.name}={_placeholder(flag)}"
    if len(label) > width:
        label, text = f"  --{flag.name}=CHOICE", f"{text} {choices.replace('|', ', ')}."
    if "default: " not in text:  # Defaults described in words are part of the flag's own help.
        text = f"{text} ({default})"
    beside = label.ljust(_LABELS - 2) + "  " if len(label) <= _LABELS - 2 else " " * _LABELS
    filled = textwrap.fill(
        text, width, initial_indent=beside, subsequent_indent=" " * _LABELS, break_on_hyphens=False
    )
    return filled if beside.strip() else f"{label}\n{filled}"


def _placeholder(flag: flags.Flag) -> str:
    if hasattr(flag.parser, "enum_values"):
        return "|".join(flag.parser.enum_values)
    if isinstance(flag.parser, flags.ListParser):
        return "A,B,..."
    return {"int": "INTEGER", "float": "NUMBER"}.get(flag.parser.flag_type(), "TEXT")
