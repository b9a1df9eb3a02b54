"""What a saved model says of every example of a split, once each."""

import dataclasses

import keras
import numpy as np
import tensorflow as tf

from trainer.data.input import Examples

_BATCH = 32


@dataclasses.dataclass(frozen=True)
class Predictions:
    """A model's answers, in the order of the split.

    Attributes:
        ids: `[examples] str`.
        labels: `[examples] int`, the true classes.
        probabilities: `[examples, classes] float32`.
    """

    ids: np.ndarray
    labels: np.ndarray
    probabilities: np.ndarray


def predict(model: keras.Model, examples: Examples) -> Predictions:
    """Runs the model over all examples.

    Args:
        model: takes `[batch, H, W, C] uint8`, gives `[batch, classes]` probabilities.
        examples: of the split, in the order of its files.

    Returns:
        One prediction for each example.
    """
    forward = tf.function(lambda images: model(images, training=False), reduce_retracing=True)
    parts = [
        (batch["id"].numpy(), batch["label"].numpy(), forward(batch["image"]).numpy())
        for batch in examples.one_pass(_BATCH)
    ]
    ids, labels, probabilities = (np.concatenate(column) for column in zip(*parts, strict=True))
    return Predictions(np.char.decode(ids.astype(bytes), "utf-8"), labels, probabilities)
