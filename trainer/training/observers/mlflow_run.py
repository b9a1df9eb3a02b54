"""Records a run in MLflow: settings as parameters, metrics per epoch, and the run's state."""

import contextlib
import importlib.util
import json
import os
import pathlib
import sqlite3
import sys
import time
import urllib.parse
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from absl import logging

from cxr_command import whole_file
from cxr_command.foreign_text import first_line
from trainer.directory import require_writable
from trainer.errors import UserError
from trainer.json_file import read_object, text
from trainer.revision import revision
from trainer.status import DONE, RUNNING, state_after
from trainer.training.observers.observer import EpochMetrics, Observer
from trainer.training.progress import Progress

if TYPE_CHECKING:
    from mlflow import MlflowClient

INSTALL = "pip install 'cxr-trainer[mlflow]'"
_PACKAGES = ("mlflow", "sqlalchemy", "alembic")
_EXPECTED = "expected http://HOST:PORT or https://HOST of a server, or sqlite:///FILE"
_FIELDS = {"uri": text(), "run_id": text()}
# MLflow's status for each way a run can end; all others count as failed.
_ENDED = {DONE: "FINISHED", "preempted": "KILLED"}
# Telemetry is disabled. A server that does not answer is retried after the next epoch, so that
# training is not delayed.
_ENVIRONMENT = {
    "MLFLOW_HTTP_REQUEST_TIMEOUT": "10",
    "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "1",
    # Below it, MLflow logs a stack trace of each failure, in addition to the warning here.
    "MLFLOW_LOGGING_LEVEL": "CRITICAL",
    "MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT": "true",
}


def require_uri(uri: str) -> str:
    """Checks the MLflow destination of a run; does not contact a server.

    Args:
        uri: the value of `--mlflow_uri`.

    Returns:
        The same URI.

    Raises:
        UserError: MLflow is not installed, the URI is invalid, or the file is not writable.
    """
    if any(importlib.util.find_spec(package) is None for package in _PACKAGES):
        raise UserError(f"--mlflow_uri needs mlflow-skinny: {INSTALL}")
    try:
        parts = urllib.parse.urlsplit(uri)
        has_host = bool(parts.hostname) and parts.port != 0
    except ValueError as error:
        raise UserError(f"--mlflow_uri={uri}: {first_line(error)}; {_EXPECTED}") from error
    if parts.username or parts.password or (parts.query and parts.scheme != "sqlite"):
        raise UserError(
            "--mlflow_uri has a user, a password or a query, which logs would show: omit it, set "
            "MLFLOW_TRACKING_USERNAME and MLFLOW_TRACKING_PASSWORD, or MLFLOW_TRACKING_TOKEN"
        )
    if parts.scheme == "sqlite" and not parts.netloc and len(parts.path) > 1:
        _require_database(pathlib.Path(parts.path[1:]))
    elif not (parts.scheme in ("http", "https") and has_host):
        raise UserError(f"--mlflow_uri={uri}: {_EXPECTED}")
    return uri


def _require_database(file: pathlib.Path) -> None:
    """Rejects a file that MLflow could not open: it would retry for minutes at every start."""
    require_writable(file.parent, "mlflow_uri")
    try:
        if not file.exists():
            return
        uri = f"{file.resolve().as_uri()}?mode=rw"
        with contextlib.closing(sqlite3.connect(uri, uri=True, timeout=0)) as database:
            database.execute("BEGIN IMMEDIATE")
            database.rollback()
    except (OSError, sqlite3.Error) as error:
        # Another training may be writing to it.
        if getattr(error, "sqlite_errorcode", None) == sqlite3.SQLITE_BUSY:
            return
        raise UserError(
            f"--mlflow_uri: {file} is no database that can be written to ({first_line(error)}); "
            "give another sqlite:///FILE"
        ) from error


class MlflowRun(Observer):
    """Sends new metrics after each epoch; those that failed are sent with the next epoch.

    A failure of MLflow never ends a training; metrics.jsonl holds the same numbers.
    """

    def __init__(self, uri: str, directory: pathlib.Path, config: Mapping[str, Any]) -> None:
        """Reads the id of the MLflow run to resume, if any; sends nothing.

        Args:
            uri: the result of `require_uri`.
            directory: the run's directory, which stores the id of the MLflow run in `mlflow.json`.
            config: the settings.

        Raises:
            UserError: `mlflow.json` is damaged.
        """
        os.environ["MLFLOW_DISABLE_TELEMETRY"] = "true"
        for name, value in _ENVIRONMENT.items():
            os.environ.setdefault(name, value)
        self._uri, self._name, self._config = uri, directory.name, config
        self._file = directory / "mlflow.json"
        self._run_id = self._read_run_id()
        self._client: MlflowClient | None = None
        self._unsent: list[tuple[int, int, dict[str, float]]] = []
        self._has_warned = self._is_done = False

    def begin_training(self, progress: Progress) -> None:
        """Opens the MLflow run, or resumes the one of earlier calls of the command."""
        self._send()

    def finish_epoch(self, metrics: EpochMetrics) -> None:
        """Sends the metrics of the epoch's row of metrics.jsonl."""
        row = {name: value for name, value in metrics.row().items() if _is_number(value)}
        self._unsent.append((row.pop("epoch"), _milliseconds(), row))
        self._send()

    def finish_training(self, progress: Progress) -> None:
        """Marks the run as done, even if the caller is handling an error."""
        self._is_done = True

    def end(self) -> None:
        """Records how the run ended."""
        error = sys.exception()  # Set if the loop ends with an error.
        self._send(DONE if self._is_done or error is None else state_after(error))

    def _send(self, ended: str | None = None) -> None:
        try:
            self._send_or_raise(ended)
        except Exception as error:  # The client may raise any type; none may end a training.
            if not self._has_warned:
                logging.warning(
                    "MLflow at %s failed (%s); training continues, metrics.jsonl has every epoch, "
                    "and MLflow is tried again after each", self._uri, first_line(_cause(error)),
                )  # fmt: skip
            self._has_warned = True
        if ended and self._unsent:
            logging.warning("MLflow is missing %d epochs of this run", len(self._unsent))

    def _send_or_raise(self, ended: str | None) -> None:
        from mlflow.entities import Metric, RunTag

        client, run_id = self._open()
        metrics = [
            Metric(name, float(value), when, epoch)
            for epoch, when, row in self._unsent
            for name, value in row.items()
        ]
        client.log_batch(run_id, metrics=metrics, tags=[RunTag("status", ended or RUNNING)])
        self._unsent.clear()
        if ended:
            client.set_terminated(run_id, _ENDED.get(ended, "FAILED"))

    def _open(self) -> tuple["MlflowClient", str]:
        """Returns the client and the run, which is created or resumed at the first call."""
        from mlflow import MlflowClient
        from mlflow.entities import Param, RunTag

        if self._client and self._run_id:
            return self._client, self._run_id
        client = MlflowClient(tracking_uri=self._uri, registry_uri=self._uri)
        if self._run_id and not _has_run(client, self._run_id):
            logging.warning("MLflow at %s no longer has this run; a new one is created", self._uri)
            self._run_id = None
        if self._run_id is None:
            run = client.create_run(_experiment(client), run_name=self._name)
            self._run_id = run.info.run_id
            self._write_run_id()
        client.update_run(self._run_id, status="RUNNING")
        params = [Param(name, str(value)) for name, value in self._config.items()]
        client.log_batch(self._run_id, params=params, tags=[RunTag("revision", revision())])
        self._client = client
        return client, self._run_id

    def _write_run_id(self) -> None:
        with whole_file.writing(self._file) as partial:
            partial.write_text(json.dumps({"uri": self._uri, "run_id": self._run_id}) + "\n")

    def _read_run_id(self) -> str | None:
        """Returns the id of this directory's run at the same address, or None."""
        if not self._file.exists():
            return None
        stored = read_object(self._file, _FIELDS, "remove it to begin another run in MLflow")
        return stored["run_id"] if stored["uri"] == self._uri else None


def _experiment(client: "MlflowClient") -> str:
    """Returns the id of the experiment named by MLflow's own environment variable."""
    name = os.environ.get("MLFLOW_EXPERIMENT_NAME", "cxr-trainer")
    found = client.get_experiment_by_name(name)
    return found.experiment_id if found else client.create_experiment(name)


def _has_run(client: "MlflowClient", run_id: str) -> bool:
    """Returns whether MLflow has a run; False if its database was removed."""
    from mlflow import MlflowException

    try:
        client.get_run(run_id)
    except MlflowException as error:
        if error.error_code != "RESOURCE_DOES_NOT_EXIST":
            raise
        return False
    return True


def _cause(error: BaseException) -> BaseException:
    """Returns the first error of a chain, such as SQLite's."""
    return _cause(error.__cause__) if error.__cause__ else error


def _is_number(value: object) -> bool:
    return isinstance(value, int | float)


def _milliseconds() -> int:
    return int(time.time() * 1000)
