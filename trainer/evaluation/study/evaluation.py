"""Evaluates the finished runs of a study and writes its report."""

import dataclasses
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from absl import logging

from trainer.data.dataset import BuiltDataset
from trainer.data.selection import select
from trainer.directory import require_writable
from trainer.errors import UserError
from trainer.evaluation.intervals import CONFIDENCE
from trainer.evaluation.report import Bootstrap
from trainer.evaluation.resampling import Resampling
from trainer.evaluation.several_runs import (
    classes_and_shape,
    one_dataset,
    splits_of,
    tested_split,
)
from trainer.evaluation.study.differences import compare_configurations
from trainer.evaluation.study.estimates import Configuration, estimate
from trainer.evaluation.study.grid import (
    Grid,
    complete_grids,
    require_each_once,
    require_same_examples,
)
from trainer.evaluation.study.held_out import predict_held_out
from trainer.evaluation.study.layout import PlannedRun, Study, read_study
from trainer.evaluation.study.report import StudyReport, write_study_report
from trainer.evaluation.study.summary import summary
from trainer.run import Run
from trainer.status import DONE


@dataclasses.dataclass(frozen=True)
class Options:
    """A user's options for a study's report.

    Attributes:
        split: split to test all runs on; None: `test`, or the fold that each run holds out.
        data_dir: directory of the dataset; None: the one recorded by the runs.
        resamples: number of bootstrap resamples.
        seed: seed of the bootstrap.
        note: a remark at the top of the report.
    """

    split: str | None
    data_dir: str | None
    resamples: int
    seed: int
    note: str


def evaluate_study(
    study_dir: str, output_dir: str, options: Options, made_by: Mapping[str, Any]
) -> None:
    """Writes the report of a study.

    Args:
        study_dir: the study's directory.
        output_dir: where the report is written.
        options: the user's options.
        made_by: the fields `command`, `created` and `versions` of the report.

    Raises:
        UserError: there is nothing to report, or the runs are not comparable.
    """
    study = read_study(study_dir)
    if options.split and study.has_folds:
        raise UserError(
            "each run of this study is tested on the fold that it holds out: leave --split out"
        )
    runs, missing = _finished(study)
    directory = require_writable(output_dir, "output_dir")
    contents = {run.directory: _content(study, run) for run in runs}
    classes_and_shape(contents)
    dataset = one_dataset(contents, options.data_dir)
    splits = {
        name: options.split or tested_split({name: content}) for name, content in contents.items()
    }
    predictions = predict_held_out(
        {name: Run(study.path / name) for name in contents}, contents, splits, dataset
    )
    grids = complete_grids(study, predictions)
    if study.has_folds:
        expected = _examples_of(dataset, contents[runs[0].directory], splits[runs[0].directory])
        for grid in grids:
            require_each_once(grid, expected)
    require_same_examples(grids)
    report = _report(study, grids, dataset, missing, options, made_by)
    write_study_report(directory, report, grids)
    for line in report.summary:
        logging.info("%s", line)
    logging.info("report: %s", directory / "report.html")


def _finished(study: Study) -> tuple[list[PlannedRun], list[str]]:
    """Returns the runs of complete seeds, and sentences about the other runs."""
    states = {run: Run(study.path / run.directory).state() or "not begun" for run in study.runs}
    missing = [f"{run.directory}: {state}" for run, state in states.items() if state != DONE]
    lacking = Counter((run.configuration, run.seed) for run in states if states[run] != DONE)
    runs = [run for run in study.runs if not lacking[run.configuration, run.seed]]
    for (configuration, seed), count in lacking.items():
        if count < len(study.folds):
            of_seed = configuration if seed is None else f"{configuration}, seed {seed}"
            others = len(study.folds) - count
            missing.append(
                f"{of_seed}: {count} of {len(study.folds)} folds {_are(count)} missing, so the "
                f"other {others} {_are(others)} left out too"
            )
    for sentence in missing:
        logging.warning("not in the report: %s", sentence)
    if not runs:
        done = sum(state == DONE for state in states.values())
        raise UserError(
            f"{study.path} has nothing to report yet: {done} of its {len(states)} runs are done"
            + (", of no seed all folds" if done else "")
            + "; run trainer.study again to train the others"
        )
    return runs, missing


def _are(count: int) -> str:
    return "is" if count == 1 else "are"


def _content(study: Study, planned: PlannedRun) -> dict[str, Any]:
    content = Run(study.path / planned.directory).finished_config()
    seed = content["config"].get("seed", planned.seed)
    if planned.seed is not None and seed != planned.seed:
        raise UserError(
            f"{study.path / planned.directory} was trained with seed {seed}, the plan says "
            f"{planned.seed}: train it again"
        )
    return content


def _examples_of(dataset: BuiltDataset, content: dict[str, Any], held_out: str) -> list[str]:
    """Returns the ids of all examples that a run trains on, validates on or holds out."""
    ids = [
        select(dataset, split).index["id"].astype(bytes)
        for split in (*splits_of({"run": content}), held_out)
    ]
    return np.char.decode(np.unique(np.concatenate(ids)), "utf-8").tolist()


def _report(
    study: Study,
    grids: Sequence[Grid],
    dataset: BuiltDataset,
    missing: list[str],
    options: Options,
    made_by: Mapping[str, Any],
) -> StudyReport:
    groups, examples = grids[0].pooled_groups, grids[0].pooled(0).labels
    resampling = Resampling(examples, groups, options.resamples, options.seed)
    configurations: list[Configuration] = []
    for grid in grids:
        logging.info("resampling the %d predictions of %s", len(examples), grid.name)
        configurations.append(estimate(grid, resampling))
        if len(grid.seeds) > 1:
            configurations.append(estimate(grid.ensemble(), resampling))
    single = [one for one in configurations if one.members == 1]
    differences = compare_configurations(grids, single)
    return StudyReport(
        note=options.note,
        summary=summary(configurations, differences, missing),
        study=str(study.path),
        plan=study.plan,
        dataset=dataset.name,
        split=None if study.has_folds else options.split or "test",
        examples=len(examples),
        class_names=list(dataset.class_names),
        seeds=[seed for seed in study.seeds if seed is not None] or None,
        folds=len(study.folds) if study.has_folds else None,
        test_to_train=grids[0].test_to_train,
        missing=missing,
        configurations=configurations,
        values=study.configurations,
        differences=differences,
        bootstrap=Bootstrap(
            resamples=options.resamples,
            seed=options.seed,
            confidence=CONFIDENCE,
            groups=None if groups is None else len(np.unique(groups)),
        ),
        **made_by,
    )
