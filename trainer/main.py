r"""Trains one of the four models on a built dataset.

On all GPUs of this machine (without any: on one CPU device), from where `tfds build` puts datasets:

    python -m trainer.main --model=vgg19 --strategy=mirrored

On a laptop, with two replicas on virtual CPU devices:

    python -m trainer.main --model=lenet --strategy=mirrored --virtual_devices=2 \
        --data_dir=DATA --workdir=RUN

On several machines, the same command on each (launch/ holds what starts it under SLURM and
Kubernetes), or as two processes of this one:

    python -m launch.local --num_workers=2 -- python -m trainer.main --model=vgg19 \
        --strategy=multi_worker --data_dir=DATA --workdir=RUN

The same command again goes on with a run that was interrupted. This is a research tool, not a
medical device.
"""

import contextlib
import dataclasses
import functools
import math
import pathlib
import platform
from collections.abc import Sequence
from typing import Any

import keras
import numpy as np
import tensorflow as tf
import tensorflow_datasets as tfds
from absl import flags, logging

from trainer import command, hardware, models
from trainer.claim import claimed
from trainer.compile_cache import CompileCache
from trainer.data.augment import augment
from trainer.data.data_service import parse_addresses, require_hosts
from trainer.data.dataset import (
    BuiltDataset,
    default_data_dir,
    open_dataset,
)
from trainer.data.input import ExampleStream, first_batch, read_examples
from trainer.data.keras_cv_augment import batch_augmenter
from trainer.errors import UserError
from trainer.memory import memory_told
from trainer.models.backbones import BACKBONES
from trainer.models.feature_maps import require_indexable
from trainer.models.fused_normalization import fuse_normalization
from trainer.models.taps import Taps
from trainer.models.weights import describe_weights, find_weights
from trainer.run import Run
from trainer.training import config as configuration
from trainer.training import features
from trainer.training.checkpoint import Checkpoints
from trainer.training.interruption import StopRequest
from trainer.training.loop import Loop
from trainer.training.observers.compile_cache_sealer import CompileCacheSealer
from trainer.training.observers.epoch_log import EpochLog
from trainer.training.observers.epoch_progress import EpochProgress
from trainer.training.observers.metrics_file import MetricsFile
from trainer.training.observers.observer import Observer
from trainer.training.observers.profile import Profile
from trainer.training.observers.status_file import StatusFile
from trainer.training.observers.tensorboard import TensorBoard
from trainer.training.phase_engine import build_engine
from trainer.training.phases import Phase, plan, prepare

configuration.define_flags()

FLAGS = flags.FLAGS


@dataclasses.dataclass(frozen=True)
class _Request:
    """What the flags ask for, checked as far as it can be before a device is touched.

    Attributes:
        config: the configuration; its `workdir` holds no run of another.
        dataset: the built dataset.
        weights: the file that the weights come from; None if they are random.
        data_hosts: `HOST:PORT` of the hosts that load the batches; none: they are loaded here.
        profile_steps: first and last step of the profile; None records none.
    """

    config: configuration.Config
    dataset: BuiltDataset
    weights: dict[str, str] | None
    data_hosts: tuple[str, ...]
    profile_steps: tuple[int, int] | None


def main() -> None:
    """Trains."""
    request = _request_from_flags()
    config = request.config
    require_hosts(request.data_hosts, config.hardware.worker_timeout)
    keras.utils.set_random_seed(config.task.seed)
    if config.task.deterministic:
        tf.config.experimental.enable_op_determinism()
    devices = hardware.resolve(config.hardware, deterministic=config.task.deterministic)
    images_at_a_time = config.batching.images_at_a_time(devices.num_replicas)
    with (
        claimed(_workdir(config), config.task.model, writes=devices.is_chief) as run,
        _memory_told(config, devices.num_replicas),
        request.dataset.reading("train or validation"),
        devices.peers.watched(devices.strategy),
    ):
        # Another training may have left something since the request was checked.
        _refuse_other_config(run, config)
        _train_on(devices, run, request, images_at_a_time)


def _train_on(
    devices: hardware.Hardware, run: Run, request: _Request, images_at_a_time: int
) -> None:
    """Trains on the devices, while the other workers are watched.

    The run's directory is written to last, when nothing is left that could be refused.
    """
    config, dataset = request.config, request.dataset
    change_batch = batch_augmenter(
        config.batch_augmentation.keras_cv, len(dataset.class_names), config.task.seed
    )
    model, best_model = _build_models(config, dataset, devices.precision)
    if devices.has_gpus:
        require_indexable(model, images_at_a_time)
    phases = plan(config.phases, config.optimization, config.network)
    _try_phases(model, phases)
    frozen, feature_cache = features.plan_features(config, phases, dataset, model, devices)
    train_examples, validation_examples = _read_splits(request)
    stop_request = StopRequest()
    start_phase = functools.partial(
        build_engine,
        config=config,
        devices=devices,
        model=model,
        start=frozen.backbone.output if frozen else None,
        train_examples=train_examples,
        stop_request=stop_request,
    )

    content: dict[str, Any] = {
        "config": config.fixed(),
        "hardware": devices.summary(),
        "dataset": _summary_of_data(request, train_examples, validation_examples),
        "weights": request.weights,
        "parameters": {
            "total": model.count_params(),
            "trainable": sum(math.prod(v.shape) for v in model.trainable_variables),
        },
        "feature_cache": feature_cache,
        "phases": [dataclasses.asdict(phase) for phase in phases],
        "versions": _versions(),
    }
    run.status.begin()
    logging.info("run directory: %s", run.path)
    run.write_config(content)
    batch = first_batch(
        train_examples, config.batching.global_batch_size, config.task.seed, change_batch
    )
    observers = _observers(run, request, content, _network_input(model, config, batch))

    if frozen:
        train_examples, validation_examples = frozen.compute(
            train_examples, validation_examples, devices, stop_request
        )
    loop = Loop(
        run=run,
        config=config,
        strategy=devices.strategy,
        phases=phases,
        start_phase=start_phase,
        best_model=best_model,
        train_examples=train_examples,
        validation_examples=validation_examples,
        change_batch=change_batch,
        checkpoints=Checkpoints(run.checkpoints, writes=run.writes),
        stop_request=stop_request,
        observers=observers,
        # Kept features are read here: there is nothing left to decode.
        data_hosts=() if frozen else request.data_hosts,
    )
    loop.train()
    best = loop.progress
    logging.info("best epoch %s, validation loss %.4f", best.best_epoch, best.best_loss)
    logging.info("its model: %s", run.model_file)
    logging.info("its curves: tensorboard --logdir=%s", run.tensorboard)
    logging.info("judge it: python -m trainer.evaluate --workdir=%s --output_dir=REPORT", run.path)


def _observers(
    run: Run, request: _Request, content: dict[str, Any], images: np.ndarray
) -> list[Observer]:
    """The observers of the training; with several workers, those that write are the chief's.

    Args:
        run: the run's directory.
        request: what to train.
        content: of config.json.
        images: the first batch as the network sees it.
    """
    config, class_names = request.config, request.dataset.class_names
    rows = run.read_metrics()  # On every worker, so that all of them refuse a damaged file.
    on_all_workers: list[Observer] = [
        CompileCacheSealer(CompileCache(config.hardware.compile_cache_dir)),
        EpochLog(config.phases.epochs),
    ]
    if not run.writes:
        return on_all_workers
    tensorboard = TensorBoard(run.tensorboard, class_names)
    tensorboard.write_settings(content["config"], content)
    tensorboard.write_batch(images)
    profile = [Profile(run.tensorboard, *request.profile_steps)] if request.profile_steps else []
    return [
        MetricsFile(run, rows),
        tensorboard,
        StatusFile(run),
        EpochProgress(config.phases.epochs, config.batching.global_batch_size),
        *profile,
        *on_all_workers,
    ]


def _request_from_flags() -> _Request:
    profile_steps = _parse_steps(FLAGS.profile_steps)
    data_hosts = parse_addresses(FLAGS.data_service)
    data_dir = FLAGS.data_dir or default_data_dir()
    dataset = open_dataset(FLAGS.dataset, data_dir)
    config = configuration.from_flags(dataset=dataset.name, data_dir=data_dir)
    if data_hosts and config.source.cache not in ("auto", "off"):
        raise UserError(
            f"--cache={config.source.cache} holds images here, and --data_service loads them "
            "elsewhere: leave one of them out"
        )
    workdir = _workdir(config)
    if workdir:
        _refuse_other_config(Run(workdir), config)
        _refuse_other_data(Run(workdir), dataset)
    weights = _describe_weights(config)  # Last: they may have to be fetched.
    return _Request(config, dataset, weights, data_hosts, profile_steps)


def _build_models(
    config: configuration.Config, dataset: BuiltDataset, precision: str
) -> tuple[keras.Model, keras.Model]:
    """The model to train, and its float32 twin, which is saved."""
    shapes: dict[str, Any] = {
        "num_classes": len(dataset.class_names),
        "image_shape": dataset.image_shape,
    }
    name, architecture = config.task.model, config.network
    without_weights = dataclasses.replace(architecture, weights="none")
    with tf.device("/cpu:0"):  # The replicas hold what is trained, as vectors of their own.
        model = models.build(name, architecture, precision=precision, **shapes)
        return fuse_normalization(model), models.build(name, without_weights, **shapes)


def _try_phases(model: keras.Model, phases: Sequence[Phase]) -> None:
    """Prepares the model for each phase, the first last, before the long work starts."""
    for phase in reversed(phases):
        prepare(model, phase)


def _read_splits(request: _Request) -> tuple[ExampleStream, ExampleStream]:
    """The examples to train on and those to validate on."""
    cache = "off" if request.data_hosts else request.config.source.cache
    train, validation = (
        read_examples(request.dataset, split, cache=cache, shuffle_seed=seed)
        for split, seed in (("train", request.config.task.seed), ("validation", None))
    )
    logging.info(
        "%s: %d training, %d validation examples of %d classes",
        request.dataset.name, train.size, validation.size, len(request.dataset.class_names),
    )  # fmt: skip
    return train, validation


def _summary_of_data(
    request: _Request, train: ExampleStream, validation: ExampleStream
) -> dict[str, Any]:
    return {
        "class_names": request.dataset.class_names,
        "image_shape": request.dataset.image_shape,
        "train_examples": train.size,
        "validation_examples": validation.size,
        "data_hosts": request.data_hosts,
        "cache": {"train": train.cache, "validation": validation.cache},
        "digests": request.dataset.digests(),
    }


def _describe_weights(config: configuration.Config) -> dict[str, str] | None:
    """The file that the weights came from; None if they are random."""
    weights = config.network.weights
    if weights == "none":
        return None
    return describe_weights(find_weights(weights, BACKBONES[config.task.model].imagenet))


def _network_input(model: keras.Model, config: configuration.Config, batch: dict) -> np.ndarray:
    """A batch as it enters the network, after augmentation and scaling."""
    images = augment(batch["image"], batch["draws"], config.augmentation)
    return keras.Model(model.input, Taps(model).scaled)(images).numpy()


def _workdir(config: configuration.Config) -> pathlib.Path | None:
    workdir = config.task.workdir
    if workdir is None and config.hardware.strategy == "multi_worker":
        raise UserError(
            "--strategy=multi_worker needs a --workdir that all workers share: the chief writes "
            "checkpoints there, and all workers read them"
        )
    return pathlib.Path(workdir) if workdir else None


def _memory_told(
    config: configuration.Config, replicas: int
) -> contextlib.AbstractContextManager[None]:
    batching = config.batching
    batch = f"--global_batch_size={batching.global_batch_size} on {replicas} replica(s)"
    accumulated = f"--accumulation_steps={batching.accumulation_steps}"
    return memory_told(
        f"train {config.task.model} with {batch} and {accumulated}",
        "lower --global_batch_size, or raise --accumulation_steps, in a new --workdir",
    )


def _refuse_other_config(run: Run, config: configuration.Config) -> None:
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


def _parse_steps(text: str | None) -> tuple[int, int] | None:
    if text is None:
        return None
    first, _, last = text.partition(":")
    if not (first.isdecimal() and last.isdecimal() and int(first) < int(last)):
        raise UserError(f"--profile_steps={text}: expected two steps A:B with A below B")
    return int(first), int(last)


def _versions() -> dict[str, str]:
    return {
        "python": platform.python_version(),
        "tensorflow": tf.__version__,
        "keras": keras.__version__,
        "tensorflow_datasets": tfds.__version__,
        "numpy": np.__version__,
    }


def _use_compile_cache() -> None:
    if FLAGS.xla != "off":
        CompileCache(FLAGS.compile_cache_dir).use()


def start() -> None:
    """Starts the command: flags in, exit code out."""
    command.run(main, before_devices=_use_compile_cache)


if __name__ == "__main__":
    start()
