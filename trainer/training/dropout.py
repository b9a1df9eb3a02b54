"""Dropout whose mask is a function of the example's draw, so that replicas need not share a state.

Keras' Dropout layer draws from a variable: each replica would use the same masks for other
examples, and a result would depend on their number. The layer is in the model, where it does
nothing in inference; in training this module stands in for it.
"""

from collections.abc import Callable

import keras
import tensorflow as tf

from trainer.data.augment import draws_for, streams
from trainer.models.taps import Taps


def training_network(
    model: keras.Model, start: keras.KerasTensor | None = None
) -> Callable[[tf.Tensor, tf.Tensor], tf.Tensor]:
    """The network as it is trained, with the dropout of its layers.

    A mask is a function of the draws that are allocated under the layer's name.

    Args:
        model: a model of `trainer.models.build`.
        start: the tensor of the model that its first argument holds the values of; None: its input.

    Returns:
        A function from such values and draws `[batch, NUM_DRAWS]` to logits `[batch, num_classes]`.
    """
    taps = Taps(model)
    dropped = taps.dropouts
    starts = [model.input if start is None else start, *(layer.output for layer in dropped)]
    ends = [*(layer.input for layer in dropped), taps.logits]
    parts = [keras.Model(first, last) for first, last in zip(starts, ends, strict=True)]

    def with_dropout(values: tf.Tensor, draws: tf.Tensor) -> tf.Tensor:
        for part, layer in zip(parts[:-1], dropped, strict=True):
            values = part(values, training=True)
            mask = dropout_mask(draws_for(layer.name, draws), values.shape[-1], layer.rate)
            if len(values.shape) == 4:  # One draw for each feature map, whose pixels are alike.
                mask = mask[:, None, None, :]
            values *= tf.cast(mask, values.dtype)
        return parts[-1](values, training=True)

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
