"""What a saved model says of every case, once each."""

import pathlib
from collections.abc import Callable

import keras
import numpy as np
import tensorflow as tf

from cxr_command import csv_file
from trainer.errors import UserError

_BATCH = 32


def predictor(model: keras.Model, *, flip: bool) -> Callable[[np.ndarray], np.ndarray]:
    """Makes a function that asks the model, traced once however often it is called.

    Args:
        model: takes `[batch, H, W, C] uint8`, gives `[batch, classes]` probabilities.
        flip: whether to average with the answers to the images flipped left to right.

    Returns:
        From `[cases, H, W, C] uint8` to `[cases, classes] float64`, whose rows sum to 1; it raises
        `UserError` if the model gives something else than finite numbers.
    """

    @tf.function(input_signature=[tf.TensorSpec(model.input_shape, tf.uint8)])
    def forward(images: tf.Tensor) -> tf.Tensor:
        answers = model(images, training=False)
        if not flip:
            return answers
        return (answers + model(tf.reverse(images, [2]), training=False)) / 2

    def predict(images: np.ndarray) -> np.ndarray:
        starts = range(0, len(images), _BATCH)
        parts = [forward(images[start : start + _BATCH]).numpy() for start in starts]
        probabilities = np.concatenate(parts).astype(np.float64)
        if not np.isfinite(probabilities).all():
            raise UserError("the model gives probabilities that are no numbers; train it again")
        # A softmax in float32 sums to 1 within 1e-7 only.
        return probabilities / probabilities.sum(axis=1, keepdims=True)

    return predict


def write_predictions(
    path: pathlib.Path,
    ids: np.ndarray,
    labels: np.ndarray,
    probabilities: np.ndarray,
    class_names: tuple[str, ...],
) -> None:
    """Writes predictions.csv: id, label, predicted, one probability for each class.

    Args:
        path: the file.
        ids: `[cases] str`.
        labels: `[cases] int`.
        probabilities: `[cases, classes] float`, written in full precision.
        class_names: names of the classes.
    """
    rows = [
        [str(case), class_names[label], class_names[shares.argmax()], *map(float, shares)]
        for case, label, shares in zip(ids, labels, probabilities, strict=True)
    ]
    path.write_bytes(csv_file.encode([["id", "label", "predicted", *class_names], *rows]))
