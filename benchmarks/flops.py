"""Counts floating-point operations of a network, forward and backward."""

from collections.abc import Callable

import keras
import tensorflow as tf

from trainer.training.utilisation import flops


def forward(model: keras.Model) -> int:
    """Counts one image's forward pass; a multiplication and an addition are two operations."""
    return _count(lambda image: model(image, training=False), model)


def training(model: keras.Model) -> int:
    """Counts one image's forward and backward pass, for the trained weights."""
    weights = [variable.value for variable in model.trainable_variables]

    def forward_backward(image: tf.Tensor) -> list:
        with tf.GradientTape(watch_accessed_variables=False) as tape:
            tape.watch(weights)
            sums = tf.reduce_sum(model(image, training=True))
        return tape.gradient(sums, weights)

    return _count(forward_backward, model)


def _count(function: Callable[[tf.Tensor], object], model: keras.Model) -> int:
    image = tf.TensorSpec((1, *model.input.shape[1:]), model.input.dtype)
    graph = tf.function(function).get_concrete_function(image).graph
    return flops.count(graph, graph.outputs)
