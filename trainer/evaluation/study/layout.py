"""A study's directory: study.json, which names its runs, and a directory for each of them."""

import dataclasses
import itertools
import os
import pathlib
from typing import Any

from trainer.errors import Damaged
from trainer.json_file import read_object
from trainer.studies.record import FIELDS, NAME

_ADVICE = "give the directory of a study of trainer.study"


@dataclasses.dataclass(frozen=True)
class PlannedRun:
    """A run of the plan, finished or not.

    Attributes:
        directory: its name in the study's directory.
        configuration: name of its configuration.
        seed: of its training; None where the plan names no seeds.
        fold: that it holds out, from 0; None where the plan names no folds.
    """

    directory: str
    configuration: str
    seed: int | None
    fold: int | None


@dataclasses.dataclass(frozen=True)
class Study:
    """What a study's plan says.

    Attributes:
        path: its directory.
        plan: the plan's text.
        seeds: of every configuration; `[None]` where the plan names none.
        folds: of every seed, from 0; likewise.
        configurations: name to values of flags.
        runs: one for each configuration, seed and fold.
    """

    path: pathlib.Path
    plan: str
    seeds: list[int | None]
    folds: list[int | None]
    configurations: dict[str, dict[str, Any]]
    runs: list[PlannedRun]

    @property
    def has_folds(self) -> bool:
        """Whether each run holds out a fold."""
        return self.folds != [None]


def read_study(directory: str | os.PathLike) -> Study:
    """Reads a study's plan.

    Args:
        directory: of the study.

    Returns:
        The study.

    Raises:
        Unreadable: the system could not read study.json.
        Damaged: there is none, or it is not what trainer.study writes.
    """
    path = pathlib.Path(directory)
    content = read_object(path / NAME, FIELDS, _ADVICE)
    configurations = {one["name"]: one["values"] for one in content["configurations"]}
    seeds, folds = content["seeds"] or [None], content["folds"]
    runs = [
        PlannedRun(**{field.name: run[field.name] for field in dataclasses.fields(PlannedRun)})
        for run in content["runs"]
    ]
    # Counted before the folds are listed: a damaged file may name billions of them.
    if len(runs) == len(configurations) * len(seeds) * (folds or 1):
        numbers: list[int | None] = [None] if folds is None else [*range(folds)]
        study = Study(path, content["plan"], seeds, numbers, configurations, runs)
        named = {(run.configuration, run.seed, run.fold) for run in runs}
        if runs and named == set(itertools.product(configurations, seeds, numbers)):
            return study
    raise Damaged(
        f"{path / NAME} is damaged (its runs are not one for each configuration, seed and "
        f"fold); {_ADVICE}"
    )
