"""Builds a network by its name: preprocessing, body, logits and probabilities in one flat model."""

import keras

from trainer.errors import UserError
from trainer.models.backbones import BACKBONES, add_backbone
from trainer.models.lenet import lenet
from trainer.models.preprocess import to_network_input

NAMES = ("lenet", *BACKBONES)
# Least side of an image: below, a layer would have nothing left to compute.
_LEAST_LENET, _LEAST_BACKBONE = 10, 32


def build(
    name: str,
    weights: str = "none",
    *,
    num_classes: int = 4,
    image_shape: tuple[int, int, int] = (224, 224, 1),
    scaling: str = "raw",
    train_backbone: bool | None = None,
    head: str = "original",
    dropout: float = 0.0,
    input_pooling: int = 1,
    pooling: str = "average",
    map_dropout: float = 0.0,
    precision: str = "float32",
) -> keras.Model:
    """Builds the Keras model of a name, of built-in layers only.

    Args:
        name: one of `NAMES`.
        weights: `none`, `imagenet` or the path of a weights file, for the backbones.
        num_classes: number of classes.
        image_shape: `[height, width, 1]` of the gray uint8 radiographs.
        scaling: how gray values are scaled, a key of `preprocess.SCALINGS`.
        train_backbone: whether the backbone's weights are trained; None does as the original did:
            DenseNet-169's are, those of ResNet-101 and VGG-19 are not.
        head: what follows a backbone, one of `backbones.HEADS`.
        dropout: share of the features that training leaves out before the last layer.
        input_pooling: side of the squares that LeNet averages before its first convolution.
        pooling: what LeNet's dense layer sees of its feature maps, one of `lenet.POOLINGS`.
        map_dropout: share of LeNet's first feature maps that training leaves out.
        precision: Keras dtype policy; under the mixed ones logits and probabilities are float32.

    Returns:
        A model from `[batch, *image_shape] uint8` to `[batch, num_classes] float32` probabilities,
        whose layer `logits` gives what goes into the softmax.

    Raises:
        UserError: there is no network of that name, its weights cannot be had, or the images are
            too small for it.
    """
    if name not in NAMES:
        raise UserError(f"there is no model {name!r}; the models are {', '.join(NAMES)}")
    if name == "lenet" and weights != "none":
        raise UserError(f"--weights={weights}: LeNet has no such weights; use --weights=none")
    _check_size(name, image_shape, input_pooling)
    previous_policy = keras.config.dtype_policy()
    keras.config.set_dtype_policy(precision)
    try:
        inputs = keras.Input(image_shape, dtype="uint8", name="radiograph")
        x = to_network_input(inputs, scaling)
        if name == "lenet":
            x = lenet(x, input_pooling, pooling, map_dropout)
        else:
            trainable = name == "densenet169" if train_backbone is None else train_backbone
            x = add_backbone(name, x, weights, trainable, head)
        if dropout:
            x = keras.layers.Dropout(dropout, name="dropout")(x)
        # The loss needs full precision, whatever the layers before it compute in.
        full = keras.config.dtype_policy().variable_dtype
        x = keras.layers.Dense(num_classes, dtype=full, name="logits")(x)
        probabilities = keras.layers.Softmax(dtype=full, name="probabilities")(x)
        return keras.Model(inputs, probabilities, name=name)
    finally:
        keras.config.set_dtype_policy(previous_policy)


def _check_size(name: str, image_shape: tuple[int, int, int], input_pooling: int) -> None:
    least = _LEAST_LENET * input_pooling if name == "lenet" else _LEAST_BACKBONE
    height, width, _ = image_shape
    if min(height, width) < least:
        pooled = f" with --input_pooling={input_pooling}" if input_pooling > 1 else ""
        raise UserError(
            f"images of {height}x{width} pixels are too small for {name}{pooled}: expected at "
            f"least {least}x{least}"
        )
