"""Chooses the observers of a training and their order."""

from typing import Any

import numpy as np

from trainer.compile_cache import CompileCache
from trainer.run import Run
from trainer.training.observers.compile_cache_sealer import CompileCacheSealer
from trainer.training.observers.epoch_log import EpochLog
from trainer.training.observers.epoch_progress import EpochProgress
from trainer.training.observers.metrics_file import MetricsFile
from trainer.training.observers.mlflow_run import MlflowRun
from trainer.training.observers.observer import Observer
from trainer.training.observers.profile import Profile
from trainer.training.observers.prometheus_file import PrometheusFile
from trainer.training.observers.status_file import StatusFile
from trainer.training.observers.tensorboard import TensorBoard
from trainer.training.request import Request


def choose_observers(
    run: Run, request: Request, content: dict[str, Any], images: np.ndarray
) -> list[Observer]:
    """Creates the observers of a training; with several workers, only the chief's write.

    Args:
        run: the run's directory.
        request: what to train.
        content: content of config.json.
        images: the first batch as it enters the network.

    Returns:
        The observers, in notification order.

    Raises:
        UserError: metrics.jsonl is damaged or cannot be read.
    """
    config, class_names = request.config, request.dataset.class_names
    rows = run.read_metrics()  # On every worker, so that all of them reject a damaged file.
    on_all_workers: list[Observer] = [
        CompileCacheSealer(CompileCache(config.hardware.compile_cache_dir)),
        EpochLog(config.phases.epochs),
    ]
    if not run.writes:
        return on_all_workers
    tensorboard = TensorBoard(run.tensorboard, class_names)
    tensorboard.write_settings(content["config"], content)
    tensorboard.write_layout()
    tensorboard.write_batch(images)
    if_asked: list[Observer] = []
    if request.profile_steps:
        if_asked.append(Profile(run.tensorboard, *request.profile_steps))
    if request.prometheus_file:
        if_asked.append(PrometheusFile(request.prometheus_file, run.path.name))
    if request.mlflow_uri:
        if_asked.append(MlflowRun(request.mlflow_uri, run.path, content["config"]))
    return [
        MetricsFile(run, rows),
        tensorboard,
        StatusFile(run),
        EpochProgress(config.phases.epochs, config.batching.global_batch_size),
        *if_asked,
        *on_all_workers,
    ]
