"""LeNet: two convolution and pooling stages and a small dense head."""

import keras

POOLINGS = ("average", "average_max")


def lenet(
    inputs: keras.KerasTensor,
    input_pooling: int = 1,
    pooling: str = "average",
    map_dropout: float = 0.0,
) -> keras.KerasTensor:
    """Two convolutions with pooling and a dense layer, as the original built them or nearly so.

    Args:
        inputs: `[batch, height, width, 3]` scaled radiographs.
        input_pooling: side of the squares that are averaged before the first convolution; 1, as in
            the original, averages nothing.
        pooling: what the dense layer sees of the second convolution's squares: their `average`, as
            in the original, or `average_max`, that and their maximum.
        map_dropout: share of the first stage's feature maps that training leaves out (Tompson et
            al. 2015, "Efficient Object Localization Using Convolutional Networks").

    Returns:
        `[batch, 128]` features.
    """
    layers = keras.layers
    x = inputs
    if input_pooling > 1:
        x = layers.AveragePooling2D(input_pooling, name="input_pool")(x)
    x = layers.Conv2D(32, 3, activation="relu", name="conv1")(x)
    x = layers.AveragePooling2D(2, name="pool1")(x)
    if map_dropout:
        x = layers.SpatialDropout2D(map_dropout, name="map_dropout")(x)
    x = layers.Conv2D(64, 3, activation="relu", name="conv2")(x)
    flat = layers.Flatten(name="flatten")(layers.AveragePooling2D(2, name="pool2")(x))
    if pooling == "average_max":
        maxima = layers.Flatten(name="flatten_max")(layers.MaxPooling2D(2, name="max_pool2")(x))
        flat = layers.Concatenate(name="average_max")([flat, maxima])
    return layers.Dense(128, activation="relu", name="dense")(flat)
