"""The engine of a phase: optimizer, objective and augmentation as the configuration says."""

import keras

from trainer.config import Config
from trainer.data.augment import Augmentation
from trainer.data.input import ExampleStream
from trainer.hardware import Hardware
from trainer.training.engine import Engine
from trainer.training.interruption import StopRequest
from trainer.training.loss_scale import DynamicLossScale
from trainer.training.objective import Objective, balanced_class_weights
from trainer.training.optimizer import build_optimizer
from trainer.training.phases import Phase, prepare


def build_engine(
    phase: Phase,
    *,
    config: Config,
    devices: Hardware,
    model: keras.Model,
    start: keras.KerasTensor | None,
    train_examples: ExampleStream,
    stop_request: StopRequest,
) -> Engine:
    """Makes the engine that trains what a phase trains.

    Args:
        phase: one of `phases.plan`.
        config: the run's configuration.
        devices: what to train on.
        model: what `trainer.models.build` returned; made trainable as far as the phase says.
        start: the model's tensor that batches are fed in at, a kept backbone's output; None feeds
            images to the whole model.
        train_examples: the training split, for the length of an epoch and the classes' weights.
        stop_request: asks the engine to stop between steps.

    Returns:
        The engine, with a new optimizer.
    """
    steps_per_epoch = train_examples.steps_per_epoch(config.global_batch_size)
    prepare(model, phase)
    optimizer = build_optimizer(
        config.optimizer,
        learning_rate=phase.learning_rate,
        schedule=config.schedule,
        total_steps=phase.epochs * steps_per_epoch,
        warmup_steps=round(config.warmup_epochs * steps_per_epoch),
        momentum=config.momentum,
        weight_decay=config.weight_decay,
        ema_momentum=config.ema_momentum,
    )
    class_weights = None
    if config.class_weights == "balanced":
        class_weights = balanced_class_weights(train_examples.count_labels(model.output.shape[-1]))
    return Engine(
        devices.strategy,
        model,
        optimizer,
        objective=Objective(
            model.output.shape[-1],
            label_smoothing=config.label_smoothing,
            class_weights=class_weights,
        ),
        xla=devices.xla,
        xla_update=devices.xla_update,
        start=start,
        augmentation=Augmentation.of(config) if start is None else None,
        clip_norm=config.clip_norm or None,
        accumulation_steps=config.accumulation_steps,
        loss_scale=DynamicLossScale() if devices.precision == "mixed_float16" else None,
        stop_request=stop_request,
        reduce_dtype=devices.reduce_precision,
    )
