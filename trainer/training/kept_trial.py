"""Caches the measurements of a trial with and without XLA for later runs of the same program."""

import dataclasses
import hashlib
import json
import os
from collections.abc import Mapping
from typing import Any

import keras
import tensorflow as tf
from absl import logging

from cxr_command import whole_file
from trainer.data.cache_folder import cache_root
from trainer.diagnosis import facts, gpus
from trainer.errors import UserError
from trainer.hardware import Hardware
from trainer.json_file import Field, mapping, number, read_object, record, text
from trainer.training.config import Config
from trainer.training.phases import plan
from trainer.training.step_trial import Outcome

# Increase when the same settings would give different steps.
_VERSION = 1
_FLAGS_OF_XLA = ("XLA_FLAGS", "TF_XLA_FLAGS")
_NULL, _FALSE = Field("null", lambda v: v is None), Field("false", lambda v: v is False)
_MEASURED = record(
    {
        "compile_seconds": number(0),
        "images_per_second": number(0),
        "error": _NULL,
        "is_of_memory": _FALSE,
    }
)
_FAILED = record(
    {
        "compile_seconds": _NULL,
        "images_per_second": _NULL,
        "error": text(),
        "is_of_memory": _FALSE,
    }
)
_OUTCOME = Field(
    f"{_MEASURED.expected}, or {_FAILED.expected}", lambda v: _MEASURED.fits(v) or _FAILED.fits(v)
)
_FIELDS = {"program": mapping(), "with_xla": _OUTCOME, "without_xla": _OUTCOME}


def describe_program(
    config: Config, devices: Hardware, image_shape: tuple[int, ...], num_classes: int
) -> dict[str, Any]:
    """Returns everything that determines the speed of a run's steps, as plain values.

    Args:
        config: the run's configuration.
        devices: the hardware to train on.
        image_shape: height, width and channels.
        num_classes: number of classes.
    """
    phase = plan(config.phases, config.optimization, config.network)[-1]
    sections = (
        config.network, config.optimization, config.batching, config.loss, config.augmentation,
        config.batch_augmentation,
    )  # fmt: skip
    settings = {name: value for part in sections for name, value in vars(part).items()}
    for name in ("weights", "learning_rate", "learning_rate_scaling"):
        del settings[name]
    computed_on = devices.summary()
    del computed_on["xla"]
    return {
        "version": _VERSION,
        "model": config.task.model,
        "image_shape": list(image_shape),
        "num_classes": num_classes,
        "trained_from": phase.trained_from,
        "normalization_frozen": phase.normalization_frozen,
        "settings": settings,
        "hardware": computed_on,
        "gpus": gpus.describe(facts.gather()),
        "flags": {name: os.environ.get(name, "") for name in _FLAGS_OF_XLA},
        "tensorflow": tf.__version__,
        "keras": keras.__version__,
    }


class KeptTrial:
    """A file of the cache folder, named after everything a trial's result depends on."""

    def __init__(self, program: Mapping[str, Any]) -> None:
        """Determines the file's name; reads and writes nothing.

        Args:
            program: the result of `describe_program`.
        """
        self._program = json.loads(json.dumps(program))
        digest = hashlib.sha256(json.dumps(program, sort_keys=True).encode()).hexdigest()[:16]
        self.path = cache_root() / f"xla-trial-{digest}.json"

    def read(self) -> dict[bool, Outcome] | None:
        """Returns the outcomes with (True) and without XLA; None if missing or invalid."""
        try:
            if not self.path.exists():
                return None
            content = read_object(self.path, _FIELDS, "it is made anew")
        except (UserError, OSError) as error:
            logging.warning("%s", error)
            return None
        works = any(_MEASURED.fits(content[key]) for key in ("with_xla", "without_xla"))
        if content["program"] != self._program or not works:
            return None
        names = [field.name for field in dataclasses.fields(Outcome)]
        return {
            xla: Outcome(**{name: content[key][name] for name in names})
            for xla, key in ((True, "with_xla"), (False, "without_xla"))
        }

    def write(self, outcomes: Mapping[bool, Outcome]) -> None:
        """Stores the outcomes; if the file cannot be written, the next run repeats the trial."""
        content = {
            "program": self._program,
            "with_xla": dataclasses.asdict(outcomes[True]),
            "without_xla": dataclasses.asdict(outcomes[False]),
        }
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            with whole_file.writing(self.path, shared=True) as partial:
                partial.write_text(json.dumps(content, indent=2) + "\n")
        except OSError as error:
            logging.warning("the trial's result is not kept: %s", error)
