"""A model's weights as four vectors, so that a step needs only a few operations.

Trained weights are split by whether weight decay applies to them; moving statistics of the trained
BatchNormalization layers and frozen weights are vectors of their own.
"""

from collections.abc import Callable, Iterable, Sequence
from typing import Any, NamedTuple

import keras
import numpy as np
import tensorflow as tf

from trainer.training.optimizer import is_decayed


class Packing:
    """The layout of a list of variables in one vector."""

    def __init__(self, variables: Sequence[keras.Variable], dtype: str) -> None:
        """Lays the variables out one after the other.

        Args:
            variables: variables of one dtype; may be empty.
            dtype: dtype of the vector.
        """
        self.variables, self.dtype = list(variables), dtype
        self._shapes = [tuple(variable.shape) for variable in variables]
        self._sizes = [int(np.prod(shape)) for shape in self._shapes]
        self.size = sum(self._sizes)

    def pack(self, arrays: Sequence[tf.Tensor]) -> tf.Tensor:
        """Concatenates arrays of the variables' shapes to a vector `[size]`."""
        if not arrays:
            return tf.zeros([0], self.dtype)
        return tf.concat([tf.reshape(array, [-1]) for array in arrays], axis=0)

    def unpack(self, vector: tf.Tensor) -> list[tf.Tensor]:
        """Splits a vector `[size]` into arrays of the variables' shapes."""
        if not self.variables:
            return []
        parts = tf.split(vector, self._sizes)
        return [tf.reshape(part, shape) for part, shape in zip(parts, self._shapes, strict=True)]

    def values(self) -> np.ndarray:
        """Returns the variables' current values, `[size]`."""
        if not self.variables:
            return np.zeros(0, self.dtype)
        return np.concatenate([variable.numpy().ravel() for variable in self.variables])


class Vectors(NamedTuple):
    """One item for each of the four vectors: a packing, a tensor, or an array.

    Attributes:
        decayed: trained weights with weight decay.
        undecayed: trained weights without weight decay: biases and normalization.
        statistics: moving statistics of the trained BatchNormalization layers.
        frozen: all other weights.
    """

    decayed: Any
    undecayed: Any
    statistics: Any
    frozen: Any

    def map(self, function: Callable[[Any], Any]) -> "Vectors":
        """Applies a function to each item."""
        return Vectors(*map(function, self))


def pack_model(model: keras.Model) -> Vectors:
    """Creates the four packings of a model, given which layers are currently trainable.

    Args:
        model: a Keras model whose weights are of one dtype.
    """
    trained = {id(variable) for variable in model.trainable_variables}
    moving = {
        id(variable)
        for layer in model.layers
        if isinstance(layer, keras.layers.BatchNormalization) and layer.trainable
        for variable in layer.non_trainable_variables
    }

    def vector_of(variable: keras.Variable) -> int:
        if id(variable) in trained:
            return 0 if is_decayed(variable) else 1
        return 2 if id(variable) in moving else 3

    groups: list[list[keras.Variable]] = [[], [], [], []]
    for variable in model.weights:
        groups[vector_of(variable)].append(variable)
    dtype = model.weights[0].dtype
    return Vectors(*(Packing(group, dtype) for group in groups))


def count_trained(packings: Vectors) -> int:
    """Returns the number of trained weights."""
    return packings.decayed.size + packings.undecayed.size


def bind(
    packings: Iterable[Packing], arrays: Iterable[Sequence[tf.Tensor]]
) -> keras.StatelessScope:
    """Returns a scope in which the model's variables are replaced by other values.

    Inside it a Keras model is a function of these values: its variables are not read, and the
    values it assigns to them can be retrieved from the scope.

    Args:
        packings: packings of all the model's weights.
        arrays: the result of `unpack` for each packing.
    """
    mapping = [
        pair
        for packing, values in zip(packings, arrays, strict=True)
        for pair in zip(packing.variables, values, strict=True)
    ]
    return keras.StatelessScope(state_mapping=mapping)
