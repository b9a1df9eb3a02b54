"""A run's directory and its files, each written atomically."""

import contextlib
import functools
import json
import os
import pathlib
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

from absl import logging

from cxr_command import whole_file
from cxr_command.foreign_text import first_line
from trainer.errors import UserError
from trainer.json_file import (
    Field,
    integer,
    list_of,
    mapping,
    number,
    read_lines,
    read_object,
    record,
    text,
)
from trainer.parsing import parsing
from trainer.status import DONE, STALE, Status, state_of

if TYPE_CHECKING:
    import keras

    from trainer.best_model import BestModel

_ADVICE = "give the directory of another run of trainer.main, or train it again"
# The fields of a run's files that the commands read; the files hold more.
_CLASS_NAMES = Field(
    "a list of two texts or more, all different",
    lambda v: list_of(text()).fits(v) and len(set(v)) == len(v) >= 2,
)
CONFIG = {
    "config": record(
        {
            "model": text(),
            "dataset": text(),
            "data_dir": text(),
            "seed": integer(0).if_given(),
            **dict.fromkeys(("epochs", "global_batch_size"), integer(1).if_given()),
            **dict.fromkeys(("learning_rate", "fine_tune_learning_rate"), number(0).if_given()),
            **dict.fromkeys(
                ("recipe", "train_split", "validation_split", "fold", "source_share"),
                text().if_given(),
            ),
        }
    ),
    "dataset": record(
        {
            "class_names": _CLASS_NAMES,
            "image_shape": list_of(integer(1)),
            "train_examples": integer(1),
            "validation_examples": integer(1),
            "digests": mapping(text()).if_given(),
        }
    ),
    "parameters": record({"total": integer(0), "trainable": integer(0)}),
}
_METRICS = {
    "epoch": integer(1),
    "phase": text().if_given(),
    "loss": number().if_given(),
    "accuracy": number(0, 1).if_given(),
    "validation_loss": number().if_given(),
    "validation_accuracy": number(0, 1).if_given(),
    "learning_rate": number(0).if_given(),
    "images_per_second": number(0).or_none().if_given(),
}
_CALIBRATION = {
    "model_sha256": text(),
    "split": text(),
    "examples": integer(1),
    "temperature": number(1e-3, 1e3),
    "log_loss_before": number(0),
    "log_loss_after": number(0),
    "sensitivity": number(0, 1),
}
# Quantiles of prediction sets; null means infinite.
QUANTILE = number(0, 1).or_none()
_RANGE = list_of(number(0, 1))
_CONFORMAL = {"nominal_coverage": number(0, 1), "quantile": QUANTILE, "range": _RANGE}


class Run:
    """The directory of one training run.

    It holds `config.json`, `metrics.jsonl` (one row an epoch), `status.json`, `model.keras` (the
    best epoch, float32), `checkpoints/` and `tensorboard/`; after an evaluation `calibration.json`
    (temperature, thresholds and quantiles, chosen on the validation split).
    """

    def __init__(self, workdir: str | os.PathLike, *, writes: bool = True) -> None:
        """Stores the path; creates nothing.

        Args:
            workdir: the directory.
            writes: whether this process writes to it. With several workers only one does; for the
                others, the writing methods do nothing.
        """
        self.path = pathlib.Path(workdir)
        self.writes = writes
        self.checkpoints = self.path / "checkpoints"
        self.tensorboard = self.path / "tensorboard"
        self.model_file = self.path / "model.keras"
        self._config_file = self.path / "config.json"
        self._metrics_file = self.path / "metrics.jsonl"
        self._status_file = self.path / "status.json"
        self._calibration_file = self.path / "calibration.json"
        self.status = Status(self._status_file, functools.partial(self._write, self._status_file))

    def is_begun(self) -> bool:
        """Whether a training has written to this directory."""
        return self._config_file.exists() or self._status_file.exists()

    def read_config(self) -> dict[str, Any] | None:
        """Returns the content of config.json; None if the run has not been configured yet.

        Raises:
            UserError: the file is damaged, or was not written by trainer.main.
        """
        return _read_if_there(self._config_file, CONFIG)

    def finished_config(self) -> dict[str, Any]:
        """Returns the content of config.json if the run has a model to evaluate.

        Raises:
            UserError: this is not a run directory, or the run has not finished an epoch.
        """
        content = self.read_config()
        if content is None or not self.model_file.exists():
            raise UserError(
                f"{self.path} holds no {'config.json' if content is None else 'model.keras'}: "
                "expected the directory of a run of trainer.main that has finished an epoch"
            )
        return content

    def warn_if_unfinished(self) -> None:
        """Warns that the model is the best so far if the run may train more epochs."""
        state = self.state()
        if state != DONE:
            logging.warning(
                "%s has not finished (its status is %s%s); its best epoch so far is taken",
                self.path, state or "unknown", ": its process is gone" if state == STALE else "",
            )  # fmt: skip

    def write_config(self, content: dict[str, Any]) -> None:
        """Writes config.json."""
        self._write(self._config_file, json.dumps(content, indent=2) + "\n")

    def read_status(self) -> dict[str, Any]:
        """Returns the content of status.json; empty if the run has not started."""
        return self.status.read(_ADVICE)

    def write_status(self, state: str, best_epoch: int | None, best_loss: float | None) -> None:
        """Writes status.json.

        Args:
            state: `running`, `done`, `diverged`, `preempted` or `failed`.
            best_epoch: the epoch of the lowest validation loss, counted from 1.
            best_loss: that loss.
        """
        self.status.write(state, best_epoch, best_loss)

    def state(self) -> str | None:
        """The state of the run; `stale` if its process is gone, None if it has not started."""
        status = self.read_status()
        return state_of(status, self.path) if status else None

    def read_metrics(self) -> list[dict[str, Any]]:
        """Returns the rows of metrics.jsonl, one per finished epoch."""
        if not self._metrics_file.exists():
            return []
        return read_lines(self._metrics_file, _METRICS, _ADVICE)

    def write_metrics(self, rows: list[dict[str, Any]]) -> None:
        """Writes metrics.jsonl."""
        self._write(self._metrics_file, "".join(json.dumps(row) + "\n" for row in rows))

    def read_calibration(self, model_sha256: str) -> dict[str, Any] | None:
        """Returns the content of calibration.json; None if it is not of this model digest."""
        class_names = self.finished_config()["dataset"]["class_names"]
        thresholds = record({name: number(0).or_none() for name in class_names})
        of_classes = {
            "quantiles": record(dict.fromkeys(class_names, QUANTILE)),
            "ranges": record(dict.fromkeys(class_names, _RANGE)),
        }
        # Files of earlier versions lack the digest.
        conformal = record(_CONFORMAL | of_classes).if_given()
        fields = {"thresholds": thresholds, "conformal": conformal}
        content = _read_if_there(self._calibration_file, _CALIBRATION | fields)
        if content is None or content["model_sha256"] != model_sha256:
            return None
        return content

    def write_calibration(self, content: dict[str, Any], model_sha256: str) -> None:
        """Writes calibration.json with the digest of the model it was fitted for."""
        content = {"model_sha256": model_sha256, **content}
        self._write(self._calibration_file, json.dumps(content, indent=2) + "\n")

    def save_model(self, model: "keras.Model") -> None:
        """Writes model.keras.

        Raises:
            UserError: the disk is full, or the directory cannot be written to.
        """
        if not self.writes:
            return
        with _explained(self.model_file), whole_file.writing(self.model_file) as partial:
            model.save(partial)
            with partial.open("rb") as file:
                os.fsync(file.fileno())  # A model took hours: survive even a power failure.

    def load_model(self) -> "BestModel":
        """Loads the best epoch's model, in safe mode.

        Raises:
            UserError: the file is damaged, cannot be read, or contradicts config.json.
        """
        # Importing Keras takes seconds, so only callers that need a model pay for it.
        from trainer.best_model import read_model

        trained_on = self.finished_config()["dataset"]
        return read_model(
            self.model_file, trained_on["image_shape"], len(trained_on["class_names"])
        )

    def _write(self, path: pathlib.Path, text: str) -> None:
        if not self.writes:
            return
        with _explained(path), whole_file.writing(path) as partial:
            partial.write_text(text)


def best_run(runs_dir: str | os.PathLike, metric: str = "validation_loss") -> Run:
    """Finds the best of several runs, by the lowest loss or the highest value of another metric.

    Args:
        runs_dir: a directory whose subdirectories are runs.
        metric: a field of metrics.jsonl, read at the epoch that was saved in model.keras.

    Returns:
        The run.

    Raises:
        UserError: no run has a model, or none has this metric.
    """
    # `listdir`, because a glob treats an unreadable directory as empty.
    names = sorted(os.listdir(runs_dir)) if os.path.isdir(runs_dir) else []
    runs = [Run(pathlib.Path(runs_dir, name)) for name in names]
    runs = [run for run in runs if run.model_file.exists()]
    if not runs:
        raise UserError(f"{runs_dir} has no run with a model; expected RUN/model.keras in it")
    best_rows = [(run, _best_epoch(run)) for run in runs]
    # A run killed while it wrote its first epoch has a model but no metrics yet.
    rated = [(run, row[metric]) for run, row in best_rows if isinstance(row.get(metric), float)]
    if not rated:
        numbers = sorted({name for _, row in best_rows for name in row if name != "epoch"})
        raise UserError(
            f"no run in {runs_dir} has the number {metric}; "
            f"expected one of {', '.join(numbers) or 'a metrics.jsonl, which none has'}"
        )
    lower_is_better = metric.endswith("loss")
    return (min if lower_is_better else max)(rated, key=lambda pair: pair[1])[0]


def _best_epoch(run: Run) -> dict[str, Any]:
    """Returns the metrics of the epoch saved in the run's model."""
    status = run.read_status()
    rows = {row["epoch"]: row for row in run.read_metrics()}
    loss = status.get("best_validation_loss")
    return rows.get(status.get("best_epoch"), {}) | {"validation_loss": loss}


def _read_if_there(path: pathlib.Path, fields: Mapping[str, Field]) -> dict[str, Any] | None:
    with parsing(path, _ADVICE):
        is_there = path.exists()
    return read_object(path, fields, _ADVICE) if is_there else None


@contextlib.contextmanager
def _explained(path: pathlib.Path) -> Iterator[None]:
    """Turns a failure to write into a readable error."""
    try:
        yield
    except OSError as error:
        raise UserError(
            f"{path} could not be written ({first_line(error)}); make room, then run the same "
            "command again"
        ) from error
