"""A study's directory: study.json, which lists its runs, and a directory per run."""

import dataclasses
import itertools
import os
import pathlib
from typing import Any

from absl import logging

from trainer.errors import Damaged, UserError
from trainer.json_file import read_object
from trainer.studies.record import FIELDS, NAME

_ADVICE = "give the directory of a study of trainer.study"


@dataclasses.dataclass(frozen=True)
class PlannedRun:
    """A planned run, finished or not.

    Attributes:
        directory: name of its directory within the study.
        configuration: name of its configuration.
        seed: seed of its training; None for a plan without seeds.
        fold: fold that it holds out, from 0; None for a plan without folds.
    """

    directory: str
    configuration: str
    seed: int | None
    fold: int | None


@dataclasses.dataclass(frozen=True)
class Study:
    """The plan of a study.

    Attributes:
        path: directory of the study.
        plan: the plan's text.
        seeds: seeds of every configuration; `[None]` if the plan has none.
        folds: folds of every seed, from 0; `[None]` if the plan has none.
        configurations: flag values by configuration name.
        runs: one run per configuration, seed and fold.
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
        directory: directory of the study.

    Returns:
        The study.

    Raises:
        Unreadable: the operating system could not read study.json.
        Damaged: the file is missing or was not written by trainer.study.
    """
    path = pathlib.Path(directory)
    content = read_object(path / NAME, FIELDS, _ADVICE)
    configurations = {one["name"]: one["values"] for one in content["configurations"]}
    seeds, folds = content["seeds"] or [None], content["folds"]
    runs = [
        PlannedRun(**{field.name: run[field.name] for field in dataclasses.fields(PlannedRun)})
        for run in content["runs"]
    ]
    # Count folds before listing them, as a damaged file may name billions.
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


def study_of(run: pathlib.Path) -> str | None:
    """Describes the study that a run belongs to, for the run's own report.

    Args:
        run: directory of the run.

    Returns:
        A sentence; None if the run is not part of a study, or the study cannot be read, which is
        logged.
    """
    directory = run.resolve().parent
    if not (directory / NAME).exists():
        return None
    try:
        study = read_study(directory)
    except UserError as error:
        logging.warning("the report does not say of which study the run is: %s", error)
        return None
    for one in study.runs:
        if one.directory == run.resolve().name:
            seed = "" if one.seed is None else f", seed {one.seed}"
            fold = "" if one.fold is None else f", fold {one.fold} of {len(study.folds)} held out"
            return (
                f"One of {len(study.runs)} runs of a study (configuration {one.configuration}"
                f"{seed}{fold}): the report of trainer.evaluate --study_dir says how far they "
                "differ."
            )
    return None
