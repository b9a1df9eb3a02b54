"""Dropout whose mask is a function of the example's draw, so that replicas need not share a state.

Keras' Dropout layer draws from a variable: each replica would use the same masks for other
examples, and a result would depend on their number. The layer is in the model, where it does
nothing in inference; in training this module stands in for it.
"""

from collections.abc import Callable

import keras
import tensorflow as tf

from trainer.data.augment import DROPOUT_DRAW, streams


def training_network(
    model: keras.Model, start: keras.KerasTensor | None = None
) -> Callable[[tf.Tensor, tf.Tensor], tf.Tensor]:
    """The network as it is trained, with the dropout of its layer `dropout` if it has one.

    Args:
        model: a model of `trainer.models.build`.
        start: the tensor of the model that its first argument holds the values of; None: its input.

    Returns:
        A function from such values and draws `[batch, NUM_DRAWS]` to logits `[batch, num_classes]`.
    """
    first = model.input if start is None else start
    logits = model.get_layer("logits").output
    if "dropout" not in [layer.name for layer in model.layers]:
        network = keras.Model(first, logits)
        return lambda images, draws: network(images, training=True)
    layer = model.get_layer("dropout")
    below, above = keras.Model(first, layer.input), keras.Model(layer.output, logits)

    def with_dropout(images: tf.Tensor, draws: tf.Tensor) -> tf.Tensor:
        features = below(images, training=True)
        mask = dropout_mask(draws[:, DROPOUT_DRAW], features.shape[-1], layer.rate)
        return above(features * tf.cast(mask, features.dtype), training=True)

    return with_dropout


# Compiled, so that it is one pass over the mask and every device has the integer arithmetic.
@tf.function(jit_compile=True)
def dropout_mask(draws: tf.Tensor, features: int, rate: float) -> tf.Tensor:
    """What features are multiplied by (Srivastava et al. 2014, "Dropout", in the inverted form).

    Args:
        draws: `[batch] float32` in [0, 1), multiples of 2**-24.
        features: their number.
        rate: share of the features that is left out.

    Returns:
        `[batch, features] float32`: 0, or 1 / (1 - rate).
    """
    kept = streams(tf.cast(draws * 2.0**24, tf.uint64), features) >= rate
    return tf.where(kept, 1 / (1 - rate), 0.0)
