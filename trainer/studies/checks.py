"""Validates all runs like trainer.main before the first one starts."""

import pathlib
from collections.abc import Iterable, Mapping
from typing import Any

from absl import flags

from cxr_command.runner import in_words
from trainer.data.selection import require_apart
from trainer.errors import UserError
from trainer.run import Run
from trainer.studies.plan import PlannedRun
from trainer.training import config as configuration
from trainer.training.request import Request, make_request


def require_valid(runs: Iterable[PlannedRun], study_dir: pathlib.Path) -> None:
    """Checks all flag values, and that no run's directory holds another run.

    Args:
        runs: the runs to train.
        study_dir: parent of the runs' directories.

    Raises:
        UserError: a value is invalid, a dataset or weights are not available, or a directory holds
            another run.
    """
    requests: dict[str, Request] = {}
    for run in runs:
        asked = _parsed(run.flags)
        name = run.configuration.name
        if name not in requests:
            requests[name] = _checked(asked)
        source = requests[name].config.source
        resolved = {"dataset": source.dataset, "data_dir": source.data_dir}
        directory = study_dir / run.directory
        content = Run(directory).read_config()
        stored = content["config"] if content else None
        config = configuration.from_asked(asked | resolved, stored)
        if stored and (differences := config.differences(stored)):
            raise UserError(
                f"{directory} holds a run of other settings ({'; '.join(differences)}): give "
                "another --study_dir"
            )


def _parsed(texts: Mapping[str, str]) -> dict[str, Any]:
    """Returns the settings given by a run's flags."""
    values = flags.FlagValues()
    configuration.define_flags(values)
    try:
        values(["trainer.main", *(f"--{flag}={text}" for flag, text in texts.items())])
    except flags.Error as error:
        raise UserError(in_words(error)) from error
    return configuration.asked_by(values)


def _checked(asked: Mapping[str, Any]) -> Request:
    """Returns the validated request; opens its dataset."""
    if asked.get("strategy") == "multi_worker":
        raise UserError(
            "strategy = multi_worker: a study starts one process for each run; take mirrored, and "
            "--gpus to train several runs at once"
        )
    request = make_request(asked)
    source = request.config.source
    require_apart(request.dataset, source.train_split, source.validation_split)
    return request
