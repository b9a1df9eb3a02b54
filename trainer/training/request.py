"""A request for a training, validated before a device is touched."""

import dataclasses
import pathlib
from collections.abc import Mapping
from typing import Any

from trainer.data.data_service import parse_addresses
from trainer.data.dataset import BuiltDataset
from trainer.data.opening import default_data_dir, open_dataset
from trainer.data.source_mix import as_trained_on, mix_of
from trainer.errors import UserError
from trainer.models.backbones import BACKBONES
from trainer.models.weights import describe_weights, find_weights
from trainer.run import Run
from trainer.training import config as configuration
from trainer.training.config import Config
from trainer.training.observers.mlflow_run import require_uri
from trainer.training.observers.profile import parse_steps
from trainer.training.observers.prometheus_file import require_file


@dataclasses.dataclass(frozen=True)
class Request:
    """A training that can be started or resumed.

    Attributes:
        config: the configuration; its `workdir` holds no run with another one.
        dataset: the built dataset, sampled by --source_share.
        weights: the file of the initial weights; None if they are random.
        data_hosts: `HOST:PORT` of the hosts that load the batches; empty: load locally.
        profile_steps: first and last step of the profile; None: no profile.
        prometheus_file: file of metrics for Prometheus; None: no file.
        mlflow_uri: URI of MLflow's server or file; None: no MLflow.
        decided: the settings still to be decided by a trial; until then they have the recipe's
            values.
    """

    config: Config
    dataset: BuiltDataset
    weights: dict[str, str] | None
    data_hosts: tuple[str, ...]
    profile_steps: tuple[int, int] | None
    prometheus_file: pathlib.Path | None
    mlflow_uri: str | None
    decided: tuple[str, ...] = ()

    @property
    def workdir(self) -> pathlib.Path | None:
        """The run's directory; None: a new one."""
        return pathlib.Path(self.config.task.workdir) if self.config.task.workdir else None


def make_request(asked: Mapping[str, Any]) -> Request:
    """Validates the requested settings, as far as possible without devices.

    Args:
        asked: settings by name, including `model`; missing ones have the recipe's value or the
            default.

    Raises:
        UserError: the request is invalid; the message says why.
    """
    # Check ranges before any file is read.
    config = configuration.from_asked(asked)
    mix_of(config.fixed())
    profile_steps = parse_steps(config.intervals.profile_steps)
    file = config.intervals.prometheus_file
    prometheus_file = require_file(file) if file else None
    uri = config.intervals.mlflow_uri
    mlflow_uri = require_uri(uri) if uri else None
    data_hosts = parse_addresses(config.source.data_service)
    data_dir = config.source.data_dir or default_data_dir()
    dataset = open_dataset(config.source.dataset, data_dir)
    found = {"dataset": dataset.name, "data_dir": data_dir}
    workdir = config.task.workdir
    begun = Run(workdir).read_config() if workdir else None
    stored = begun["config"] if begun else None
    config = configuration.from_asked({**asked, **found}, stored)
    dataset = as_trained_on(dataset, config.fixed())
    if data_hosts and config.source.cache not in ("auto", "off"):
        raise UserError(
            f"--cache={config.source.cache} keeps images here, and --data_service loads them "
            "elsewhere: omit one of them"
        )
    _check_workdir(config, dataset)
    weights = _describe_weights(config)  # Last, as they may have to be downloaded.
    decided = () if stored else configuration.decided_by_trial(asked)
    return Request(
        config, dataset, weights, data_hosts, profile_steps, prometheus_file, mlflow_uri, decided
    )


def _check_workdir(config: Config, dataset: BuiltDataset) -> None:
    workdir = config.task.workdir
    if workdir:
        refuse_other_config(Run(workdir), config)
        _refuse_other_data(Run(workdir), dataset)
    elif config.hardware.strategy == "multi_worker":
        raise UserError(
            "--strategy=multi_worker needs a --workdir that all workers share: the chief writes "
            "checkpoints there, and all workers read them"
        )


def refuse_other_config(run: Run, config: Config) -> None:
    """Fails if the directory holds a run with another configuration.

    Args:
        run: a directory, which may be empty.
        config: the configuration.

    Raises:
        UserError: the configurations differ; the message lists each difference.
    """
    stored = run.read_config()
    differences = config.differences(stored["config"]) if stored else []
    if differences:
        raise UserError(
            f"{run.path} holds a run of another configuration; give another --workdir, or the "
            f"same flags to go on with it. Differences: {'; '.join(differences)}"
        )


def _refuse_other_data(run: Run, dataset: BuiltDataset) -> None:
    stored = run.read_config()
    if stored and (changed := dataset.changed_splits(stored["dataset"].get("digests", {}))):
        raise UserError(
            f"{run.path} was trained on another content of {dataset.name}: {', '.join(changed)} in "
            f"{dataset.data_dir} were built anew from other radiographs. Build the dataset as it "
            "was to go on, or give another --workdir"
        )


def _describe_weights(config: Config) -> dict[str, str] | None:
    weights = config.network.weights
    if weights == "none":
        return None
    return describe_weights(find_weights(weights, BACKBONES[config.task.model].imagenet))
