"""The file study.json: configuration, seed and fold of each run of a study."""

import dataclasses
import json
import os
import pathlib
from typing import Any

from cxr_command import whole_file
from trainer.directory import writing_to
from trainer.errors import UserError
from trainer.json_file import Field, integer, list_of, mapping, read_object, record, text
from trainer.studies.plan import Plan

NAME = "study.json"
_FOLDER = Field(
    "the name of a directory in the study's",
    lambda v: isinstance(v, str) and v not in ("", ".", "..") and os.path.basename(v) == v,
)
FIELDS: dict[str, Field] = {
    "plan": text(),
    "seeds": Field(
        "a list of different whole numbers, 0 or more",
        lambda v: list_of(integer(0)).fits(v) and len(v) == len(set(v)) > 0,
    ).or_none(),
    "folds": integer(2).or_none(),
    "configurations": list_of(record({"name": text(), "values": mapping()})),
    "runs": list_of(
        record(
            {
                "directory": _FOLDER,
                "configuration": text(),
                "seed": integer(0).or_none(),
                "fold": integer(0).or_none(),
            }
        )
    ),
}


def content_of(plan: Plan) -> dict[str, Any]:
    """Returns the content of study.json for a plan."""
    return {
        "plan": plan.text,
        "seeds": None if plan.seeds is None else list(plan.seeds),
        "folds": plan.folds,
        "configurations": [dataclasses.asdict(one) for one in plan.configurations],
        "runs": [
            {
                "directory": run.directory,
                "configuration": run.configuration.name,
                "seed": run.seed,
                "fold": run.fold[0] if run.fold else None,
            }
            for run in plan.runs
        ],
    }


def read(study_dir: pathlib.Path) -> dict[str, Any] | None:
    """Reads study.json; None if there is none.

    Raises:
        UserError: the file cannot be read, or is damaged.
    """
    path = study_dir / NAME
    if not path.exists():
        return None
    return read_object(path, FIELDS, "remove it; the runs beside it are kept")


def write(study_dir: pathlib.Path, content: dict[str, Any]) -> None:
    """Writes study.json atomically.

    Raises:
        UserError: the disk is full, or the directory cannot be written to.
    """
    with writing_to(study_dir), whole_file.writing(study_dir / NAME) as partial:
        partial.write_text(json.dumps(content, indent=2) + "\n")


def require_extended(study_dir: pathlib.Path, plan: Plan) -> None:
    """Checks that a directory holds no study, or one whose runs are unchanged in the plan.

    Raises:
        UserError: a run is missing from the plan, or has other values in it.
    """
    stored = read(study_dir)
    if stored is None:
        return
    advice = f"{study_dir} holds a study of another plan: %s; seeds and values may be added, " + (
        "else give another --study_dir"
    )
    planned = {run.directory: run for run in plan.runs}
    values_of = {one["name"]: one["values"] for one in stored["configurations"]}
    for run in stored["runs"]:
        now = planned.get(run["directory"])
        if now is None:
            raise UserError(advice % f"its run {run['directory']} is not in this one")
        before = values_of.get(run["configuration"], {})
        values = now.configuration.values
        for flag in sorted(before.keys() | values.keys()):
            if before.get(flag) != values.get(flag):
                changed = f"{flag} is {before.get(flag, 'not set')} there, " + (
                    f"{values.get(flag, 'not set')} in this one"
                )
                raise UserError(advice % f"in its run {run['directory']} {changed}")
