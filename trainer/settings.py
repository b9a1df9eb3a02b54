"""Settings of a run, each declared once as a field of a section in the module that uses it.

    @section("Augmentation", in_recipes=True)
    @dataclasses.dataclass(frozen=True)
    class Augmentation:
        erasing: float = setting(0.0, "Probability of covering a rectangle.", within=(0, 1))

A section's flags, their help, the validation of their values and their entries in config.json are
derived from its fields.
"""

import dataclasses
import difflib
import math
import types
import typing
from collections.abc import Callable, Iterable, Mapping
from typing import Any, TypeVar

from absl import flags

from cxr_command import usage
from trainer.errors import UserError
from trainer.given_value import LARGEST_FLOAT, shown, typed

# The flags belong to the command that defines them.
flags.disclaim_key_flags()

_KEY, _TITLE, _IN_RECIPES = "setting", "title_in_help", "is_in_recipes"
# Limit of the C functions behind TensorFlow.
_LARGEST_INTEGER = 2**32 - 1
_FLAGS: dict[type, Callable[..., Any]] = {
    bool: flags.DEFINE_bool,
    int: flags.DEFINE_integer,
    float: flags.DEFINE_float,
    str: flags.DEFINE_string,
    tuple: flags.DEFINE_list,
}
_Section = TypeVar("_Section", bound=type)
# Value of a flag whose number a trial determines.
AUTO = "auto"


@dataclasses.dataclass(frozen=True)
class Setting:
    """The properties of a setting besides its name, type and default.

    Attributes:
        help: one line for `--help`.
        choices: the allowed values; empty: any value of its type.
        within: inclusive lower and exclusive upper bound.
        is_positive: whether it must be above zero and finite.
        is_fixed: whether a run can only be resumed with the same value, which is stored in
            config.json.
        or_auto: whether an integer flag may be `AUTO`.
        only_for: the networks it applies to, as named in `--help`; empty: all.
        retired: values of earlier versions, each with its replacement.
    """

    help: str
    choices: tuple[str, ...] = ()
    within: tuple[float, float] | None = None
    is_positive: bool = False
    is_fixed: bool = True
    or_auto: bool = False
    only_for: str = ""
    retired: Mapping[str, str] = dataclasses.field(default_factory=dict)


def setting(default: Any, help: str, *, choices: Iterable[str] = (), **known: Any) -> Any:
    """Declares a setting.

    Args:
        default: its value unless a recipe or a flag overrides it; a neutral one.
        help: as in `Setting`.
        choices: the allowed values.
        **known: further attributes of `Setting`.
    """
    declared = Setting(help, tuple(choices), **known)
    return dataclasses.field(default=default, metadata={_KEY: declared})


def section(title: str, *, in_recipes: bool = False) -> Callable[[_Section], _Section]:
    """Returns a decorator that turns a frozen dataclass of settings into a section.

    Args:
        title: heading of its flags in `--help`.
        in_recipes: whether recipes may set its values.
    """

    def make(cls: _Section) -> _Section:
        setattr(cls, _TITLE, title)
        setattr(cls, _IN_RECIPES, in_recipes)
        return cls

    return make


def title(cls: type) -> str:
    """Returns the heading of a section's flags in `--help`."""
    return str(getattr(cls, _TITLE))


def declared(owner: Any) -> dict[str, Setting]:
    """Returns the settings of a section, or of an instance of it, by name."""
    return {field.name: field.metadata[_KEY] for field in dataclasses.fields(owner)}


def define_flags(
    cls: type,
    unset: Callable[[str], str] = lambda name: "none",
    values: flags.FlagValues = flags.FLAGS,
) -> None:
    """Defines a flag for each setting of a section.

    Args:
        cls: the section.
        unset: describes, by name, the value that a recipe gives.
        values: the `FlagValues` in which the flags are defined.
    """
    in_recipes = getattr(cls, _IN_RECIPES)
    usage.section(title(cls), **({"unset": unset} if in_recipes else {}))
    for field in dataclasses.fields(cls):
        known: Setting = field.metadata[_KEY]
        default: Any = None if in_recipes else field.default
        kind = _kind(cls, field.name)
        if known.choices:
            _define_choice(field.name, default, known, values)
        elif known.or_auto:
            flags.DEFINE(_IntegerOrAuto(), field.name, default, known.help, values)
        else:
            _FLAGS[kind](field.name, default, known.help, flag_values=values)


def _define_choice(name: str, default: Any, known: Setting, values: flags.FlagValues) -> None:
    """Defines a flag with a few allowed values; `fill` rejects retired ones with an explanation."""
    parser = _Choice(known.choices, known.retired)
    shown = f"<{'|'.join(known.choices)}>: {known.help}"
    flags.DEFINE(parser, name, default, shown, values)


class _Choice(flags.EnumParser):
    """Parses one of a few values, or a retired one, which `--help` omits."""

    def __init__(self, choices: Iterable[str], retired: Iterable[str]) -> None:
        super().__init__(list(choices))
        self._retired = retired

    def parse(self, argument: str) -> str:
        return argument if argument in self._retired else super().parse(argument)


class _IntegerOrAuto(flags.ArgumentParser):
    """Parses an integer or `AUTO`."""

    def parse(self, argument: str | int) -> str | int:
        if argument == AUTO:
            return AUTO
        try:
            return flags.IntegerParser().parse(argument)
        except ValueError as error:
            raise ValueError(f"expected a whole number, or {AUTO}") from error

    def flag_type(self) -> str:
        return "int"


def _kind(cls: type, name: str) -> type:
    """Returns the type of a setting; of a union such as `bool | None`, the member besides None."""
    annotation = typing.get_type_hints(cls)[name]
    is_union = typing.get_origin(annotation) is types.UnionType
    kinds = typing.get_args(annotation) if is_union else (annotation,)
    return next(kind for kind in map(_without_arguments, kinds) if kind in _FLAGS)


def _without_arguments(kind: Any) -> type:
    """Returns `tuple` for `tuple[str, ...]`."""
    return typing.get_origin(kind) or kind


def require_known(names: Iterable[str], known: Iterable[str]) -> None:
    """Checks that all names are settings.

    Args:
        names: the names to check.
        known: the names of all settings.

    Raises:
        UserError: a name is not a setting; the message suggests similar ones.
    """
    known = list(known)
    for name in names:
        if name not in known:
            alike = " or ".join(difflib.get_close_matches(name, known))
            raise UserError(f"there is no setting {name!r}" + (f": {alike}?" if alike else ""))


def fill(cls: type, values: Mapping[str, Any]) -> Any:
    """Creates a section from those of the values that are its settings, after validation.

    Raises:
        UserError: a value has the wrong type or is out of range; the message quotes it.
    """
    made = cls(**of_section(cls, values))
    for name, known in declared(cls).items():
        _check(name, getattr(made, name), known)
    return made


def of_section(cls: type, values: Mapping[str, Any]) -> dict[str, Any]:
    """Returns those values that are settings of a section, converted; any may be None.

    Raises:
        UserError: a value has the wrong type; the message quotes it.
    """
    names = [field.name for field in dataclasses.fields(cls)]
    return {name: _typed(cls, name, values[name]) for name in names if name in values}


def _typed(cls: type, name: str, value: Any) -> Any:
    """Converts a setting's value; for a list, each of its elements."""
    if value is None:
        return None
    kind = _kind(cls, name)
    made = typed(kind, name, value)
    if kind is tuple:
        element, _ = typing.get_args(typing.get_type_hints(cls)[name])
        for one in made:
            if not isinstance(one, element):
                raise UserError(f"--{name}={shown(value)}: {shown(one)} in it is of another type")
    return made


def _check(name: str, value: Any, known: Setting) -> None:
    found = f"--{name}={value if isinstance(value, str) else shown(value)}"
    if value in known.retired:
        raise UserError(f"{found} is no longer needed: {known.retired[value]}")
    if known.choices and value not in known.choices:
        raise UserError(f"{found}: expected one of {', '.join(known.choices)}")
    if known.is_positive and not 0 < value < LARGEST_FLOAT:
        raise UserError(f"{found}: expected a positive float32 number")
    if type(value) is int and value > _LARGEST_INTEGER:
        raise UserError(f"{found}: expected {_LARGEST_INTEGER} or less")
    if known.within and value is not None:
        least, bound = known.within
        if not least <= value < bound:
            below = "" if bound == math.inf else f" and below {bound}"
            raise UserError(f"{found}: expected {least} or more{below}")


def as_flags(made: Any) -> list[str]:
    """Returns the flags that reproduce a section's values; absl quotes elements of lists."""
    of_list = flags.CsvListSerializer(",").serialize
    return [
        f"--{name}={of_list(list(value)) if isinstance(value, tuple) else value}"
        for name, value in changed(made).items()
    ]


def changed(made: Any) -> dict[str, Any]:
    """Returns the settings of a section that differ from their defaults."""
    return {
        field.name: getattr(made, field.name)
        for field in dataclasses.fields(made)
        if getattr(made, field.name) != field.default
    }
