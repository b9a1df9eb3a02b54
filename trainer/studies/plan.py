"""A study's plan: flags of trainer.main with their values, seeds and folds.

    # Comments and empty lines are skipped.
    model = lenet
    learning_rate = 1e-3, 2e-3
    seeds = 0, 1, 2
    folds = 5

Every combination of the values is a configuration, trained with every seed and with every fold held
out once. Sections name configurations; the lines before the first one are shared by all:

    [strong]
    [strong without flip]
    flip = false
"""

import dataclasses
import hashlib
import itertools
import re
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import NamedTuple

from trainer.data.folds import FEWEST, MOST
from trainer.errors import UserError

_SECTION = re.compile(r"\[\s*(.*?)\s*\]")
# Flags set by the study itself, each with the line of the plan to use instead.
_SET_BY_STUDY = {
    "workdir": "each run's directory is named after its values: leave it out",
    "seed": "use seeds = 0, 1, 2",
    "fold": "use folds = 5",
}
# Maximum length of a file name on most file systems, in bytes.
_LONGEST_NAME = 255
_DIGITS = 12


@dataclasses.dataclass(frozen=True)
class Configuration:
    """Settings to train with every seed and fold.

    Attributes:
        name: name of the section and the varying values; `run` if nothing varies.
        values: the text of each trainer.main flag.
    """

    name: str
    values: Mapping[str, str]


@dataclasses.dataclass(frozen=True)
class PlannedRun:
    """One training of a study.

    Attributes:
        configuration: the settings to train.
        seed: its seed; None for a plan without seeds.
        fold: the held-out fold and the number of folds; None for a plan without folds.
    """

    configuration: Configuration
    seed: int | None
    fold: tuple[int, int] | None

    @property
    def directory(self) -> str:
        """Name of the run's directory."""
        varied = [self.configuration.name] if self.configuration.name != _NOTHING_VARIES else []
        varied += [] if self.seed is None else [f"seed={self.seed}"]
        varied += [f"fold={self.fold[0]}of{self.fold[1]}"] if self.fold else []
        return _directory_name(",".join(varied) or _NOTHING_VARIES)

    @property
    def flags(self) -> dict[str, str]:
        """The text of each flag, including seed and fold."""
        seed = {} if self.seed is None else {"seed": str(self.seed)}
        fold = {"fold": f"{self.fold[0]}/{self.fold[1]}"} if self.fold else {}
        return {**self.configuration.values, **seed, **fold}


@dataclasses.dataclass(frozen=True)
class Plan:
    """The content of a study's plan.

    Attributes:
        text: content of the plan's file.
        seeds: seeds of the trainings; None: trainer.main's default.
        folds: number of folds, each held out once; None: the dataset's own splits.
        configurations: the configurations to train with each seed and fold.
    """

    text: str
    seeds: tuple[int, ...] | None
    folds: int | None
    configurations: tuple[Configuration, ...]

    @property
    def runs(self) -> list[PlannedRun]:
        """Returns all trainings, starting with the first seed and fold of all configurations."""
        seeds: Sequence[int | None] = self.seeds or [None]
        folds = [(fold, self.folds) for fold in range(self.folds)] if self.folds else [None]
        return [
            PlannedRun(configuration, seed, fold)
            for seed, fold, configuration in itertools.product(seeds, folds, self.configurations)
        ]


_NOTHING_VARIES = "run"
Values = dict[str, list[str]]


class Lines(NamedTuple):
    """The lines of a plan.

    Attributes:
        shared: the values of each flag before the first section.
        sections: the values in each section, by its name.
        seeds: as of `Plan`.
        folds: as of `Plan`.
    """

    shared: Values
    sections: dict[str, Values]
    seeds: tuple[int, ...] | None
    folds: int | None


def parse(text: str) -> Plan:
    """Parses a plan.

    Args:
        text: content of the plan's file.

    Raises:
        UserError: a line is not `flag = value, value ...`, or sets a flag that the study sets
            itself.
    """
    shared, sections, seeds, folds = read(text)
    for flag, listed in itertools.chain(*(part.items() for part in (shared, *sections.values()))):
        if ranges := [value for value in listed if " .. " in value]:
            raise UserError(f"{flag} = {ranges[0]}: a range of values is for --search=N")
    configurations = [
        Configuration(*made)
        for title, own in (sections or {"": {}}).items()
        for made in _combinations(title, shared | own)
    ]
    names = Counter(configuration.name for configuration in configurations)
    if twice := [name for name, count in names.items() if count > 1]:
        raise UserError(f"two configurations of the plan are called {twice[0]}: rename a section")
    return Plan(text, seeds, folds, tuple(configurations))


def read(text: str) -> Lines:
    """Parses the lines of a plan; raises as `parse` does.

    Args:
        text: content of the plan's file.
    """
    shared: Values = {}
    sections: dict[str, Values] = {}
    current = shared
    for number, line in enumerate(text.splitlines(), start=1):
        line = line.partition("#")[0].strip()
        where = f"line {number} of the plan"
        if section := _SECTION.fullmatch(line):
            if not section[1] or section[1] in sections or "\0" in line:
                raise UserError(f"{where}: {line!r}; expected a name that no other section has")
            current = sections[section[1]] = {}
        elif line:
            name, listed = _parse_line(line, where)
            if name in current:
                raise UserError(f"{where} sets {name}, which is set already")
            if current is not shared and name in ("seeds", "folds"):
                raise UserError(f"{where}: {name} are those of all, before the first section")
            current[name] = listed
    seeds, folds = shared.pop("seeds", None), shared.pop("folds", None)
    if not shared and not any(sections.values()):
        raise UserError("the plan is empty; expected lines such as dropout = 0.2, 0.4")
    return Lines(shared, sections, _seeds(seeds), _folds(folds))


def _parse_line(line: str, where: str) -> tuple[str, list[str]]:
    name, _, values = (part.strip() for part in line.partition("="))
    listed = [value.strip() for value in values.split(",") if value.strip()]
    if not name.isidentifier() or not listed or "\0" in line:
        raise UserError(f"{where}: {line!r}; expected flag = value, value")
    if len(set(listed)) < len(listed):
        raise UserError(f"{where}: {line!r} has a value twice")
    if name in _SET_BY_STUDY:
        raise UserError(f"{where} sets {name}: {_SET_BY_STUDY[name]}")
    return name, listed


def _combinations(title: str, lines: Values) -> list[tuple[str, dict[str, str]]]:
    """Returns the name and values of each combination."""
    made = []
    for values in itertools.product(*lines.values()):
        run = dict(zip(lines, values, strict=True))
        varied = [f"{name}={value}" for name, value in run.items() if len(lines[name]) > 1]
        made.append((",".join([title, *varied] if title else varied) or _NOTHING_VARIES, run))
    return made


def _seeds(listed: list[str] | None) -> tuple[int, ...] | None:
    if listed is None:
        return None
    if not all(re.fullmatch(r"\d{1,10}", seed, re.ASCII) for seed in listed):
        raise UserError(f"seeds = {', '.join(listed)}: expected whole numbers, such as 0, 1, 2")
    seeds = tuple(map(int, listed))
    if len(set(seeds)) < len(seeds):
        raise UserError(f"seeds = {', '.join(listed)} has a seed twice")
    return seeds


def _folds(listed: list[str] | None) -> int | None:
    if listed is None:
        return None
    text = ", ".join(listed)
    folds = int(text) if re.fullmatch(r"\d{1,3}", text, re.ASCII) else 0
    if not FEWEST <= folds <= MOST:
        raise UserError(
            f"folds = {text}: expected one number from {FEWEST} to {MOST}: a fold is held out, the "
            "next is validated on, the others are trained on"
        )
    return folds


def _directory_name(text: str) -> str:
    """Returns the text, with a digest if it is not a valid name, so that names stay unique."""
    name = text.replace("/", "_")
    if name == text and len(name.encode()) <= _LONGEST_NAME and name not in (".", ".."):
        return name
    digest = hashlib.sha256(text.encode()).hexdigest()[:_DIGITS]
    kept = name.encode()[: _LONGEST_NAME - _DIGITS - 1].decode(errors="ignore")
    return f"{kept}~{digest}"
