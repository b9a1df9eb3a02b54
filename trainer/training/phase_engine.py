"""Builds the engine of a phase with its optimizer, objective and augmentation."""

import dataclasses

import keras

from trainer.data.example_stream import ExampleStream
from trainer.hardware import Hardware
from trainer.training.computation import Computation
from trainer.training.config import Config
from trainer.training.engine import Engine
from trainer.training.execution import Execution
from trainer.training.interruption import StopRequest
from trainer.training.loss_scale import DynamicLossScale
from trainer.training.objective import Loss, Objective, balanced_class_weights
from trainer.training.optimizer import Optimization, build_optimizer
from trainer.training.phases import Phase, prepare
from trainer.training.traced_once import TracedOnce

# Traced steps by phase, images per replica and use of XLA.
TracedSteps = dict[tuple[Phase, int, bool], TracedOnce]


def build_engine(
    phase: Phase,
    *,
    config: Config,
    devices: Hardware,
    model: keras.Model,
    start: keras.KerasTensor | None,
    train_examples: ExampleStream,
    stop_request: StopRequest,
    traced: TracedSteps | None = None,
) -> Engine:
    """Builds the engine that trains a phase.

    Args:
        phase: a phase from `phases.plan`.
        config: the run's configuration.
        devices: the hardware to train on.
        model: a model from `trainer.models.build`; its layers are set trainable as the phase
            requires.
        start: the model's tensor that is fed with batches, the output of a cached backbone; None:
            the model's input.
        train_examples: the training split, for the length of an epoch and the class weights.
        stop_request: request to stop the engine between steps.
        traced: the traced steps of the run's earlier engines, to which this one adds its own; None:
            no earlier engine.

    Returns:
        The engine, with a new optimizer.
    """
    steps_per_epoch = train_examples.steps_per_epoch(config.batching.global_batch_size)
    prepare(model, phase)
    images_of_replica = config.batching.global_batch_size // devices.num_replicas
    kind, traced = (phase, images_of_replica, devices.xla), {} if traced is None else traced
    computation = Computation(
        _optimizer(config.optimization, phase, steps_per_epoch),
        _objective(config.loss, model.output.shape[-1], train_examples),
        start=start,
        augmentation=config.augmentation if start is None else None,
        clip_norm=config.optimization.clip_norm or None,
    )
    engine = Engine(
        devices.strategy, model, computation,
        execution=_execution(devices, config.batching.accumulation_steps),
        stop_request=stop_request, train_step=traced.get(kind),
    )  # fmt: skip
    traced[kind] = engine.train_step
    return engine


def _optimizer(
    chosen: Optimization, phase: Phase, steps_per_epoch: int
) -> keras.optimizers.Optimizer:
    return build_optimizer(
        dataclasses.replace(chosen, learning_rate=phase.learning_rate),
        total_steps=phase.epochs * steps_per_epoch,
        steps_per_epoch=steps_per_epoch,
    )


def _objective(loss: Loss, classes: int, examples: ExampleStream) -> Objective:
    weights = None
    if loss.class_weights == "balanced":
        weights = balanced_class_weights(examples.count_labels(classes))
    return Objective(classes, label_smoothing=loss.label_smoothing, class_weights=weights)


def _execution(devices: Hardware, accumulation_steps: int) -> Execution:
    return Execution(
        xla=devices.xla,
        xla_update=devices.xla_update,
        accumulation_steps=accumulation_steps,
        reduce_dtype=devices.reduce_precision,
        loss_scale=DynamicLossScale() if devices.precision == "mixed_float16" else None,
    )
