"""Checks runs as trainer.main would, before the first one is started."""

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
    """Checks every value of every flag, and that no run's directory holds another run.

    Args:
        runs: what is to be trained.
        study_dir: where the runs' directories are.

    Raises:
        UserError: a value, a dataset or weights cannot be had, or a directory holds another run.
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
    """The settings that a run's flags ask for."""
    values = flags.FlagValues()
    configuration.define_flags(values)
    try:
        values(["trainer.main", *(f"--{flag}={text}" for flag, text in texts.items())])
    except flags.Error as error:
        raise UserError(in_words(error)) from error
    return configuration.asked_by(values)


def _checked(asked: Mapping[str, Any]) -> Request:
    """What is asked for; its dataset is opened."""
    if asked.get("strategy") == "multi_worker":
        raise UserError(
            "strategy = multi_worker: a study starts one process for each run; take mirrored, and "
            "--gpus to train several runs at once"
        )
    request = make_request(asked)
    source = request.config.source
    require_apart(request.dataset, source.train_split, source.validation_split)
    return request
