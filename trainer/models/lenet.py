"""LeNet: two convolution and pooling stages and a small dense head."""

import keras

from trainer.models.architecture import Architecture
from trainer.models.taps import MAP_DROPOUT


def lenet(inputs: keras.KerasTensor, architecture: Architecture) -> keras.KerasTensor:
    """Builds two convolutions with pooling and a dense layer, close to the original.

    Args:
        inputs: `[batch, height, width, 3]` scaled radiographs.
        architecture: `input_pooling`, `map_dropout` and `pooling` are used.

    Returns:
        `[batch, 128]` features.
    """
    layers = keras.layers
    x = inputs
    if architecture.input_pooling > 1:
        x = layers.AveragePooling2D(architecture.input_pooling, name="input_pool")(x)
    x = layers.Conv2D(32, 3, activation="relu", name="conv1")(x)
    x = layers.AveragePooling2D(2, name="pool1")(x)
    if architecture.map_dropout:
        x = layers.SpatialDropout2D(architecture.map_dropout, name=MAP_DROPOUT)(x)
    x = layers.Conv2D(64, 3, activation="relu", name="conv2")(x)
    flat = layers.Flatten(name="flatten")(layers.AveragePooling2D(2, name="pool2")(x))
    if architecture.pooling == "average_max":
        maxima = layers.Flatten(name="flatten_max")(layers.MaxPooling2D(2, name="max_pool2")(x))
        flat = layers.Concatenate(name="average_max")([flat, maxima])
    return layers.Dense(128, activation="relu", name="dense")(flat)
