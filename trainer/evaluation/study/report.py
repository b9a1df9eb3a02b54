"""A study's report: report.json, the page, the picture and the predictions behind them."""

import dataclasses
import json
import pathlib
from collections.abc import Sequence
from typing import Any

from cxr_command import csv_file
from trainer import templates
from trainer.directory import move_files, unfinished, writing_to
from trainer.evaluation.json_content import json_content
from trainer.evaluation.report import Bootstrap
from trainer.evaluation.study.differences import Differences
from trainer.evaluation.study.estimates import Configuration
from trainer.evaluation.study.grid import Grid
from trainer.evaluation.study.page import render_page
from trainer.evaluation.study.picture import plot_configurations
from trainer.templates import RESEARCH_USE

_PICTURE = "accuracies.png"
_PREDICTIONS = "predictions.csv"


@dataclasses.dataclass(frozen=True, kw_only=True)
class StudyReport:
    """The content of a study's report.json.

    Attributes:
        kind: tells it from the report of single runs.
        research_use: what it must not be used for.
        note: a remark of whoever asked for it.
        summary: the results in ten lines or fewer.
        study: path of the study's directory.
        plan: the plan's text.
        dataset: name of the dataset, with its version.
        split: that every run was tested on; None where each was tested on the fold it held out.
        examples: how many were tested.
        class_names: names of the classes in the order of their labels.
        seeds: that the plan names, None if it names none.
        folds: how many, None if there are none.
        test_to_train: examples that a run is tested on, for each that it is trained on; 0 without
            folds.
        missing: runs that have not finished, and what is left out for that, as sentences.
        configurations: those with a whole seed, each followed by the ensemble of its seeds.
        values: configuration to values of flags.
        differences: between configurations.
        bootstrap: how the intervals of the test sample were computed.
        command: that made it.
        created: when, in ISO 8601.
        versions: package to version.
        predictions: the file.
        picture: likewise.
    """

    kind: str = "study"
    research_use: str = RESEARCH_USE
    note: str
    summary: list[str]
    study: str
    plan: str
    dataset: str
    split: str | None
    examples: int
    class_names: list[str]
    seeds: list[int] | None
    folds: int | None
    test_to_train: float
    missing: list[str]
    configurations: list[Configuration]
    values: dict[str, dict[str, Any]]
    differences: Differences
    bootstrap: Bootstrap
    command: str
    created: str
    versions: dict[str, str]
    predictions: str = _PREDICTIONS
    picture: str = _PICTURE


def write_study_report(directory: pathlib.Path, report: StudyReport, grids: Sequence[Grid]) -> None:
    """Writes the report; what is there of that name is replaced when all of it is written.

    Args:
        directory: where to, made if missing.
        report: what it says.
        grids: of the configurations, whose predictions are written.

    Raises:
        UserError: it cannot be written.
    """
    with writing_to(directory), unfinished(directory) as partial:
        plot_configurations(report.configurations, partial / _PICTURE)
        (partial / _PREDICTIONS).write_bytes(csv_file.encode(_rows(grids, report.class_names)))
        content = json_content(report)
        # A NaN would be no JSON: better to fail here than to hand it on.
        text = json.dumps(content, indent=2, allow_nan=False)
        (partial / "report.json").write_text(text + "\n", encoding="utf-8")
        templates.write(partial / "report.html", render_page(content, partial))
        move_files(partial, directory)


def _rows(grids: Sequence[Grid], class_names: Sequence[str]) -> list[list[object]]:
    rows: list[list[object]] = [
        ["id", "label", "configuration", "seed", "fold", "predicted", *class_names]
    ]
    for grid in grids:
        for seed, row in zip(grid.seeds, grid.cells, strict=True):
            for fold, cell in zip(grid.folds, row, strict=True):
                place = [grid.name, "" if seed is None else seed, "" if fold is None else fold]
                rows += [
                    [
                        str(example_id), class_names[label], *place,
                        class_names[shares.argmax()], *map(float, shares),
                    ]
                    for example_id, label, shares in zip(
                        cell.ids, cell.labels, cell.probabilities, strict=True
                    )
                ]  # fmt: skip
    return rows
