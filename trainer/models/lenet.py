"""LeNet: two convolution and pooling stages and a small dense head."""

import keras


def lenet(inputs: keras.KerasTensor, input_pooling: int = 1) -> keras.KerasTensor:
    """Two convolutions with average pooling and a dense layer, as the original built them.

    Args:
        inputs: `[batch, height, width, 3]` scaled radiographs.
        input_pooling: side of the squares that are averaged before the first convolution; 1, as in
            the original, averages nothing.

    Returns:
        `[batch, 128]` features.
    """
    layers = keras.layers
    x = inputs
    if input_pooling > 1:
        x = layers.AveragePooling2D(input_pooling, name="input_pool")(x)
    x = layers.Conv2D(32, 3, activation="relu", name="conv1")(x)
    x = layers.AveragePooling2D(2, name="pool1")(x)
    x = layers.Conv2D(64, 3, activation="relu", name="conv2")(x)
    x = layers.AveragePooling2D(2, name="pool2")(x)
    x = layers.Flatten(name="flatten")(x)
    return layers.Dense(128, activation="relu", name="dense")(x)
