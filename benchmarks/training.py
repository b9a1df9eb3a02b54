"""Training of one model on random images, as measured by the engine's benchmarks."""

import time
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from benchmarks.random_images import SHAPE, random_images
from trainer import models
from trainer.data.example_stream import ExampleStream
from trainer.data.input import distribute_batches
from trainer.hardware import Hardware
from trainer.models.fused_normalization import fuse_normalization
from trainer.training.computation import Computation
from trainer.training.engine import Engine
from trainer.training.execution import Execution
from trainer.training.loss_scale import DynamicLossScale
from trainer.training.metrics import measure
from trainer.training.objective import Objective

_MINIMUM_IMAGES = 64


def build(name: str, *, train_backbone: bool | None = None, **shapes: Any) -> tuple:
    """Builds a model with random weights, and an optimizer whose steps are too small to diverge.

    Args:
        name: name of the model.
        train_backbone: as of `trainer.models.Architecture`.
        **shapes: for `trainer.models.build`.
    """
    keras.utils.set_random_seed(0)
    architecture = models.Architecture(train_backbone=train_backbone)
    return models.build(name, architecture, **shapes), keras.optimizers.Adam(1e-5)


def plain_strategy(count: int) -> tf.distribute.Strategy:
    """Returns a strategy without this project's settings.

    Args:
        count: number of replicas, as virtual devices of the CPU; a single one uses the first GPU,
            if any.
    """
    gpus = tf.config.list_physical_devices("GPU")
    if count == 1 and gpus:
        tf.config.experimental.set_memory_growth(gpus[0], True)
        return tf.distribute.OneDeviceStrategy("/gpu:0")
    cpu = tf.config.list_physical_devices("CPU")[0]
    tf.config.set_logical_device_configuration(
        cpu, [tf.config.LogicalDeviceConfiguration()] * count
    )
    places = [f"/cpu:{index}" for index in range(count)]
    if count == 1:
        return tf.distribute.OneDeviceStrategy(places[0])
    return tf.distribute.MirroredStrategy(places)


class Training:
    """A model, its engine and infinite batches from memory."""

    def __init__(
        self, name: str, devices: Hardware, batch_size: int, *, train_backbone: bool | None = None
    ) -> None:
        """Builds everything; traces nothing before the first steps.

        Args:
            name: name of the model.
            devices: hardware to train on, including the precision.
            batch_size: global batch size.
            train_backbone: as of `trainer.models.Architecture`.
        """
        strategy, self._batch_size = devices.strategy, batch_size
        with tf.device("/cpu:0"):
            model, optimizer = build(
                name, precision=devices.precision, train_backbone=train_backbone
            )
            self.model = fuse_normalization(model)
        self.engine = Engine(
            strategy,
            self.model,
            Computation(optimizer, Objective(4)),
            execution=Execution(
                xla=devices.xla,
                xla_update=devices.xla_update,
                loss_scale=DynamicLossScale() if devices.precision == "mixed_float16" else None,
                reduce_dtype=devices.reduce_precision,
            ),
        )
        self._replicas = devices.num_replicas
        examples = in_memory(max(_MINIMUM_IMAGES, 2 * batch_size))
        self._batches = iter(distribute_batches(examples, strategy, batch_size, timed=True))

    def train(self, steps: int) -> dict[str, float]:
        """Runs steps; returns `images_per_second` and `input`, the share of time spent waiting."""
        return self._timed(self.engine.train, self.engine.train_totals, steps)

    def evaluate(self, steps: int) -> dict[str, float]:
        """Returns the same for forward passes."""
        return self._timed(self.engine.evaluate, self.engine.eval_totals, steps)

    def _timed(self, work, totals, steps: int) -> dict[str, float]:
        totals.reset()
        started = time.perf_counter()
        work(self._batches, steps)
        seconds = time.perf_counter() - started
        waited = measure(totals.read()).waited / self._replicas
        return {
            "images_per_second": steps * self._batch_size / seconds,
            "input": waited / seconds,
        }


def in_memory(count: int, shape: tuple[int, int, int] = SHAPE) -> ExampleStream:
    """Returns random images in memory.

    Args:
        count: number of images.
        shape: shape of each image.
    """
    images, labels = random_images(count, shape)
    columns = {"image": images, "label": labels, "id": np.arange(count).astype(str)}
    held = {name: tf.constant(column) for name, column in columns.items()}

    def load(positions: tf.Tensor) -> dict:
        return {name: tf.gather(column, positions) for name, column in held.items()}

    return ExampleStream(labels, load)
