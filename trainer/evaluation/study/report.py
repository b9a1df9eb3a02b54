"""A study's report: report.json, the page, the plot and the underlying predictions."""

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
        kind: distinguishes it from the report of single runs.
        research_use: what the models must not be used for.
        note: a remark of the user.
        summary: the results in at most ten lines.
        study: path of the study's directory.
        plan: the plan's text.
        dataset: name of the dataset, with its version.
        split: split that every run was tested on; None if each was tested on its held-out fold.
        examples: number of test examples.
        class_names: names of the classes in the order of their labels.
        seeds: seeds of the plan; None if it has none.
        folds: number of folds; None if there are none.
        test_to_train: number of test examples per training example of a run; 0 without folds.
        missing: unfinished runs, and what is omitted because of them, as sentences.
        configurations: configurations with at least one complete seed, each followed by the
            ensemble of its seeds.
        values: flag values by configuration.
        differences: differences between configurations.
        bootstrap: how the intervals of the test sample were computed.
        command: the command that created the report.
        created: time of creation, in ISO 8601.
        versions: versions by package.
        predictions: file of the predictions.
        picture: file of the plot.
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
    """Writes the report, replacing an earlier one only when it is complete.

    Args:
        directory: output directory, created if missing.
        report: the content of the report.
        grids: grids of the configurations, whose predictions are written.

    Raises:
        UserError: the report cannot be written.
    """
    with writing_to(directory), unfinished(directory) as partial:
        plot_configurations(report.configurations, partial / _PICTURE)
        (partial / _PREDICTIONS).write_bytes(csv_file.encode(_rows(grids, report.class_names)))
        content = json_content(report)
        # NaN is not valid JSON: better to fail here than to pass it on.
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
