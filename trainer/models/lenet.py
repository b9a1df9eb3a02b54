"""LeNet as the original built it."""

import keras


def lenet(inputs: keras.KerasTensor) -> keras.KerasTensor:
    """Two convolutions with average pooling and a dense layer.

    Args:
        inputs: `[batch, height, width, 3]` scaled radiographs.

    Returns:
        `[batch, 128]` features.
    """
    layers = keras.layers
    x = layers.Conv2D(32, 3, activation="relu", name="conv1")(inputs)
    x = layers.AveragePooling2D(2, name="pool1")(x)
    x = layers.Conv2D(64, 3, activation="relu", name="conv2")(x)
    x = layers.AveragePooling2D(2, name="pool2")(x)
    x = layers.Flatten(name="flatten")(x)
    return layers.Dense(128, activation="relu", name="dense")(x)
