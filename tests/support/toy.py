"""Small images and networks, for processes with any number of devices."""

import keras
import numpy as np
import tensorflow as tf

from trainer import models
from trainer.data.augment import Augmentation
from trainer.data.example_stream import ExampleStream
from trainer.data.input import distribute_batches
from trainer.training.computation import Computation
from trainer.training.engine import Engine
from trainer.training.execution import Execution
from trainer.training.objective import Objective

SIZE = 32
BATCH = 16


def make_examples(count: int, seed: int = 0, size: int = SIZE) -> ExampleStream:
    """Creates images whose class is encoded in the brightness of their upper half."""
    rng = np.random.default_rng(seed)
    labels = rng.integers(0, 4, count)
    images = rng.integers(0, 60, (count, size, size, 1))
    images[:, : size // 2] += 50 * labels[:, None, None, None]
    return examples_of(images.astype(np.uint8), labels)


def examples_of(images: np.ndarray, labels: np.ndarray) -> ExampleStream:
    columns = {
        "image": tf.constant(images),
        "label": tf.constant(labels),
        "id": tf.strings.as_string(tf.range(len(labels))),
    }
    return ExampleStream(
        labels, lambda rows: {name: tf.gather(column, rows) for name, column in columns.items()}
    )


def small_lenet(precision="float32"):
    return models.build("lenet", image_shape=(SIZE, SIZE, 1), precision=precision)


def frozen_backbone(precision="float32"):
    """Builds convolutions with BatchNormalization, frozen, and a dense head."""
    dtype = "float64" if precision == "float64" else "float32"
    layers, options = keras.layers, {"dtype": dtype, "trainable": False}
    inputs = keras.Input((SIZE, SIZE, 1), dtype="uint8")
    x = layers.Rescaling(1 / 255, dtype=dtype)(inputs)
    for filters in (8, 16):
        x = layers.Conv2D(filters, 3, strides=2, **options)(x)
        x = layers.BatchNormalization(**options)(x)
        x = layers.ReLU(dtype=dtype)(x)
    x = layers.Dense(16, activation="relu", dtype=dtype)(layers.Flatten(dtype=dtype)(x))
    logits = layers.Dense(4, name="logits", dtype=dtype)(x)
    return keras.Model(inputs, layers.Softmax(dtype=dtype)(logits))


def sgd():
    return keras.optimizers.SGD(1e-6, momentum=0.9)


def train(
    strategy, examples, steps, *, optimizer=sgd, xla=False, precision="float32", flip=True,
    build=None, clip_norm=None, stop_request=None, **execution,
):  # fmt: skip
    """Trains a small LeNet from seed 0; returns engine, model and initial weights."""
    keras.utils.set_random_seed(0)
    model = (build or small_lenet)(precision)
    first = model.get_weights()
    objective = Objective(4, dtype="float64" if precision == "float64" else "float32")
    engine = Engine(
        strategy,
        model,
        Computation(
            optimizer(),
            objective,
            augmentation=Augmentation(flip=True) if flip else None,
            clip_norm=clip_norm,
        ),
        execution=Execution(xla=xla, **execution),
        stop_request=stop_request,
    )
    batches = iter(distribute_batches(examples, strategy, BATCH, augment_seed=3))
    engine.train(batches, steps)
    model.set_weights(engine.weights())
    return engine, model, first
