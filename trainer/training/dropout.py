"""Dropout whose mask is a function of the example's draw, so that replicas need not share a state.

Keras' Dropout layer draws from a variable: each replica would use the same masks for other
examples, and a result would depend on their number. The layer is in the model, where it does
nothing in inference; in training this module stands in for it.
"""

from collections.abc import Callable

import keras
import tensorflow as tf

from trainer.data.augment import DROPOUT_DRAW

# Multipliers of MurmurHash3's finalizer (Appleby 2011, fmix32), and two odd numbers that spread
# the draw and the feature's index before it.
_FINALIZER = ((16, 0x85EBCA6B), (13, 0xC2B2AE35))
_SPREAD_DRAW, _SPREAD_INDEX = 0x9E3779B1, 0x27D4EB2F


def training_network(model: keras.Model) -> Callable[[tf.Tensor, tf.Tensor], tf.Tensor]:
    """The network as it is trained, with the dropout of its layer `dropout` if it has one.

    Args:
        model: a model of `trainer.models.build`.

    Returns:
        A function from images `[batch, height, width, 1]` and draws `[batch, NUM_DRAWS]` to logits
        `[batch, num_classes]`.
    """
    logits = model.get_layer("logits").output
    if "dropout" not in [layer.name for layer in model.layers]:
        network = keras.Model(model.input, logits)
        return lambda images, draws: network(images, training=True)
    layer = model.get_layer("dropout")
    below, above = keras.Model(model.input, layer.input), keras.Model(layer.output, logits)

    def with_dropout(images: tf.Tensor, draws: tf.Tensor) -> tf.Tensor:
        features = below(images, training=True)
        mask = dropout_mask(draws[:, DROPOUT_DRAW], features.shape[-1], layer.rate)
        return above(features * tf.cast(mask, features.dtype), training=True)

    return with_dropout


# Compiled, so that the hash is one pass over the mask and every device has its integer arithmetic.
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
    bits = tf.cast(draws * 2.0**24, tf.uint32)[:, None] * _unsigned(_SPREAD_DRAW)
    bits += tf.cast(tf.range(features), tf.uint32) * _unsigned(_SPREAD_INDEX)
    for shift, multiplier in _FINALIZER:
        bits = _fold(bits, shift) * _unsigned(multiplier)
    kept = _fold(bits, 16) >= _unsigned(round(rate * 2**32))
    return tf.where(kept, 1 / (1 - rate), 0.0)


def _fold(bits: tf.Tensor, shift: int) -> tf.Tensor:
    return tf.bitwise.bitwise_xor(bits, tf.bitwise.right_shift(bits, _unsigned(shift)))


def _unsigned(number: int) -> tf.Tensor:
    return tf.constant(number, tf.uint32)
