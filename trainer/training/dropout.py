"""Dropout whose mask is a pure function of the example's draw, so replicas share no state.

Keras' Dropout layer draws from a seed variable: each replica would use the same masks for different
examples, so results would depend on the number of replicas. The model contains the Keras layer,
which is the identity in inference; in training this module replaces it.
"""

from collections.abc import Callable

import keras
import tensorflow as tf

from trainer.data.augment import draws_for, streams
from trainer.models.taps import Taps


def training_network(
    model: keras.Model, start: keras.KerasTensor | None = None
) -> Callable[[tf.Tensor, tf.Tensor], tf.Tensor]:
    """Returns the network in training mode, with dropout in place of its Dropout layers.

    A mask is a function of the draws allocated under the layer's name.

    Args:
        model: a model of `trainer.models.build`.
        start: the tensor of the model to feed; None: its input.

    Returns:
        A function from values of `start` and draws `[batch, NUM_DRAWS]` to logits
        `[batch, num_classes]`.
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
            if len(values.shape) == 4:  # One draw per feature map (spatial dropout).
                mask = mask[:, None, None, :]
            values *= tf.cast(mask, values.dtype)
        return parts[-1](values, training=True)

    return with_dropout


# Compiled, so that it is one pass over the mask and all devices compute the same integers.
@tf.function(jit_compile=True)
def dropout_mask(draws: tf.Tensor, features: int, rate: float) -> tf.Tensor:
    """Computes the dropout mask (Srivastava et al. 2014, "Dropout", in the inverted form).

    Args:
        draws: `[batch] float32` in [0, 1), multiples of 2**-24.
        features: number of features.
        rate: share of the features to drop.

    Returns:
        `[batch, features] float32`: 0, or 1 / (1 - rate).
    """
    kept = streams(tf.cast(draws * 2.0**24, tf.uint64), features) >= rate
    return tf.where(kept, 1 / (1 - rate), 0.0)
