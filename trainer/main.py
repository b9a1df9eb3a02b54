r"""Trains one of the four models on a built dataset.

On all GPUs of this machine (or one CPU device without GPUs), with the default data directory:

    python -m trainer.main --model=vgg19 --strategy=mirrored

On a laptop, with two replicas on virtual CPU devices:

    python -m trainer.main --model=lenet --strategy=mirrored --virtual_devices=2 \
        --data_dir=DATA --workdir=RUN

On several machines, run the same command on each (launch/ has launchers for SLURM and Kubernetes),
or run two processes on this machine:

    python -m launch.local --num_workers=2 -- python -m trainer.main --model=vgg19 \
        --strategy=multi_worker --data_dir=DATA --workdir=RUN

Run the same command again to resume an interrupted run. This is a research tool, not a medical
device.
"""

import contextlib
import dataclasses
import functools
import shlex
from collections.abc import Sequence
from typing import Any

import keras
import numpy as np
import tensorflow as tf
from absl import flags, logging

from trainer import command, hardware, models
from trainer.claim import claimed
from trainer.compile_cache import CompileCache
from trainer.data.augment import augment
from trainer.data.data_service import require_hosts
from trainer.data.example_stream import ExampleStream, read_examples
from trainer.data.examples import count_sources
from trainer.data.input import first_batch
from trainer.data.keras_cv_augment import batch_augmenter
from trainer.data.selection import require_apart
from trainer.data.source_mix import told
from trainer.memory import memory_told
from trainer.models.feature_maps import require_indexable
from trainer.models.fused_normalization import fuse_normalization
from trainer.models.taps import Taps
from trainer.run import Run
from trainer.settings import AUTO
from trainer.training import config as configuration
from trainer.training import features
from trainer.training.checkpoint import Checkpoints
from trainer.training.config import Config
from trainer.training.decisions import trials_before
from trainer.training.interruption import StopRequest
from trainer.training.loop import Loop
from trainer.training.objective import require_all_classes
from trainer.training.observers.chosen import choose_observers
from trainer.training.phase_engine import TracedSteps, build_engine
from trainer.training.phases import Phase, plan, prepare
from trainer.training.record import describe_training
from trainer.training.reproducible import reproducible
from trainer.training.request import Request, make_request, refuse_other_config
from trainer.training.utilisation.peak_flops import find_peak

FLAGS = flags.FLAGS


def main() -> None:
    """Runs the training."""
    train(make_request(configuration.asked_by(FLAGS)))


def train(request: Request) -> Run:
    """Trains a model, or resumes an interrupted training.

    Args:
        request: what to train.

    Returns:
        The finished run.

    Raises:
        UserError: the request is invalid; the message says why.
        Diverged: the loss is not finite.
        Preempted: a stop was requested; a checkpoint has been saved.
        WorkerLost: another worker was lost.
    """
    config = request.config
    require_hosts(request.data_hosts, config.hardware.worker_timeout)
    with reproducible(config.task.seed, deterministic=config.task.deterministic):
        devices = hardware.resolve(config.hardware, deterministic=config.task.deterministic)
        if not request.decided:
            config.batching.require_even(devices.num_replicas)
        return _train_in_directory(devices, request)


def _train_in_directory(devices: hardware.Hardware, request: Request) -> Run:
    config = request.config
    with (
        claimed(request.workdir, config.task.model, writes=devices.is_chief) as run,
        _memory_told(request, devices.num_replicas),
        request.dataset.reading("train or validation"),
        devices.peers.watched(devices.strategy),
    ):
        # Another training may have written to the directory since the request was checked.
        refuse_other_config(run, config)
        _train_on(devices, run, request)
    return run


def _train_on(devices: hardware.Hardware, run: Run, request: Request) -> None:
    """Trains on the devices while monitoring the other workers.

    The run's directory is written to only after everything that could be rejected has been checked.
    """
    config, dataset, classes = request.config, request.dataset, len(request.dataset.class_names)
    change_batch = batch_augmenter(config.batch_augmentation.keras_cv, classes, config.task.seed)
    model, best_model = _build_models(request, devices)
    phases = plan(config.phases, config.optimization, config.network)
    _try_phases(model, phases)
    frozen, feature_cache = features.plan_features(config, phases, dataset, model, devices)
    start = frozen.backbone.output if frozen else None
    if devices.has_gpus and not request.decided:
        trained = keras.Model(model.input if start is None else start, Taps(model).logits)
        require_indexable(trained, config.batching.global_batch_size // devices.num_replicas)
    examples = _read_splits(request)
    traced: TracedSteps = {}
    decided = trials_before(request, devices, model, examples[0], frozen, traced).decide()
    request, devices = decided.applied(request, devices)
    config, stop_request = request.config, StopRequest()
    phases = plan(config.phases, config.optimization, config.network)
    start_phase = functools.partial(
        build_engine, config=config, devices=devices, model=model, start=start,
        train_examples=examples[0], stop_request=stop_request, traced=traced,
    )  # fmt: skip
    content = describe_training(request, devices, model, phases, feature_cache, examples)
    content |= {"trials": decided.record}
    run.status.begin()
    logging.info("run directory: %s", run.path)
    run.write_config(content)
    batch_size = config.batching.global_batch_size
    batch = first_batch(examples[0], batch_size, config.task.seed, change_batch)
    observers = choose_observers(run, request, content, _network_input(model, config, batch))
    if frozen:
        examples = frozen.compute(*examples, devices, stop_request)
    loop = Loop(
        run=run, config=config, strategy=devices.strategy, phases=phases, start_phase=start_phase,
        best_model=best_model, train_examples=examples[0], validation_examples=examples[1],
        change_batch=change_batch, checkpoints=Checkpoints(run.checkpoints, writes=run.writes),
        stop_request=stop_request, observers=observers,
        # Cached features are read here: nothing is left to decode.
        data_hosts=() if frozen else request.data_hosts, peak_flops=find_peak(devices),
    )  # fmt: skip
    loop.train()
    _tell_result(loop, run)


def _tell_result(loop: Loop, run: Run) -> None:
    best = loop.progress
    logging.info("best epoch %s, validation loss %.4f", best.best_epoch, best.best_loss)
    logging.info("model: %s", run.model_file)
    logging.info("curves: tensorboard --logdir=%s", shlex.quote(str(run.tensorboard)))
    logging.info(
        "evaluate it: python -m trainer.evaluate --workdir=%s --output_dir=REPORT",
        shlex.quote(str(run.path)),
    )


def _build_models(request: Request, devices: hardware.Hardware) -> tuple[keras.Model, keras.Model]:
    """Builds the model to train and its float32 copy, which is saved."""
    config, dataset = request.config, request.dataset
    shapes: dict[str, Any] = {
        "num_classes": len(dataset.class_names),
        "image_shape": dataset.image_shape,
    }
    name, architecture = config.task.model, config.network
    without_weights = dataclasses.replace(architecture, weights="none")
    with tf.device("/cpu:0"):  # Each replica holds its own copy of the variables.
        model = models.build(name, architecture, precision=devices.precision, **shapes)
        best_model = models.build(name, without_weights, **shapes)
    return fuse_normalization(model), best_model


def _try_phases(model: keras.Model, phases: Sequence[Phase]) -> None:
    """Sets the model up for each phase, in reverse order, to find errors before the long work."""
    for phase in reversed(phases):
        prepare(model, phase)


def _read_splits(request: Request) -> tuple[ExampleStream, ExampleStream]:
    """Returns the training and the validation examples."""
    source, seed = request.config.source, request.config.task.seed
    require_apart(request.dataset, source.train_split, source.validation_split)
    train, validation = (
        read_examples(
            request.dataset, split, cache=source.cache, shuffle_seed=order,
            on_hosts=bool(request.data_hosts),
        )
        for split, order in ((source.train_split, seed), (source.validation_split, None))
    )  # fmt: skip
    _tell_sources(request)
    if request.config.loss.class_weights == "balanced":
        class_names = request.dataset.class_names
        require_all_classes(train.count_labels(len(class_names)), class_names)
    logging.info(
        "%s: %d training, %d validation examples of %d classes",
        request.dataset.name, train.size, validation.size, len(request.dataset.class_names),
    )  # fmt: skip
    if not request.decided:
        request.config.batching.warn_above(train.size)
    return train, validation


def _tell_sources(request: Request) -> None:
    """Logs the drawn examples if --source_share is set."""
    dataset, source = request.dataset, request.config.source
    if mix := dataset.source_mix:
        undrawn = dataclasses.replace(dataset, source_mix=None)
        for split in (source.train_split, source.validation_split):
            counts, of = (count_sources(one, split)[mix.label] for one in (dataset, undrawn))
            logging.info("%s", told(mix, split, counts, of))


def _network_input(model: keras.Model, config: Config, batch: dict) -> np.ndarray:
    """Returns a batch as it enters the network, after augmentation and scaling."""
    images = augment(batch["image"], batch["draws"], config.augmentation)
    return keras.Model(model.input, Taps(model).scaled)(images).numpy()


def _memory_told(request: Request, replicas: int) -> contextlib.AbstractContextManager[None]:
    config, batching = request.config, request.config.batching
    asked = AUTO if request.decided else batching.global_batch_size
    shared = "one replica" if replicas == 1 else f"{replicas} replicas"
    batch = f"--global_batch_size={asked} on {shared}"
    accumulated = f"--accumulation_steps={batching.accumulation_steps}"
    return memory_told(
        f"train {config.task.model} with {batch} and {accumulated}",
        "lower --global_batch_size, or raise --accumulation_steps, in a new --workdir",
    )


def _define_flags() -> None:
    configuration.define_flags()


def _use_compile_cache() -> None:
    if FLAGS.xla != "off":
        CompileCache(FLAGS.compile_cache_dir).use()


def start() -> None:
    """Parses the flags, runs the command and exits."""
    command.run(main, define_flags=_define_flags, before_devices=_use_compile_cache)


if __name__ == "__main__":
    start()
