"""The JSON schemas of report.json, from its dataclasses."""

import functools
import json
import pathlib

import jsonschema

from tests.support.json_schema import Schemas, add
from trainer.evaluation.model_report import Mistake, ModelReport
from trainer.evaluation.report import Report, _ShownMistake, _WrittenModel
from trainer.evaluation.study.report import StudyReport

FOLDER = pathlib.Path(__file__).parents[2] / "docs" / "reference"
_DIALECT = "https://json-schema.org/draft/2020-12/schema"


def report_schema():
    """Schema of a report on models, with the first model's content also at the top level."""
    schemas = Schemas({ModelReport: _WrittenModel, Mistake: _ShownMistake})
    content = schemas.content(_WrittenModel)
    add(content, schemas.content(Report))
    return _document("report.json of trainer.evaluate", content, schemas)


def study_schema():
    """Schema of a report on a study."""
    schemas = Schemas()
    content = schemas.content(StudyReport)
    return _document("report.json of trainer.evaluate --study_dir", content, schemas)


@functools.cache
def _validators():
    return {
        name: jsonschema.Draft202012Validator(json.loads((FOLDER / name).read_text()))
        for name in ("report.schema.json", "study.schema.json")
    }


def require_valid(content):
    """Validates a report.json against the schema in docs/reference."""
    name = "study.schema.json" if content.get("kind") == "study" else "report.schema.json"
    _validators()[name].validate(content)


def _document(title, content, schemas):
    return {"$schema": _DIALECT, "title": title, **content, "$defs": schemas.definitions}
