"""Builds a network by name: preprocessing, body, logits and probabilities in a flat model."""

from typing import Any

import keras

from trainer.errors import UserError
from trainer.given_value import shown, typed
from trainer.models.architecture import BACKBONE, LENET, ORIGINAL, Architecture
from trainer.models.backbones import BACKBONES, add_backbone
from trainer.models.lenet import lenet
from trainer.models.preprocess import to_network_input
from trainer.models.taps import DROPOUT, LOGITS
from trainer.settings import changed, declared

NAMES = ("lenet", *BACKBONES)
# Minimum side of an image; for smaller ones a layer's output would be empty.
_LEAST_LENET, _LEAST_BACKBONE = 10, 32


def build(
    name: str,
    architecture: Architecture = ORIGINAL,
    *,
    num_classes: int = 4,
    image_shape: tuple[int, int, int] = (224, 224, 1),
    precision: str = "float32",
) -> keras.Model:
    """Builds a Keras model by name, of built-in layers only.

    Args:
        name: one of `NAMES`.
        architecture: settings of the architecture.
        num_classes: number of classes.
        image_shape: `[height, width, 1]` of the gray uint8 radiographs.
        precision: Keras dtype policy; with a mixed policy, logits and probabilities are float32.

    Returns:
        A model from `[batch, *image_shape] uint8` to `[batch, num_classes] float32` probabilities,
        with a layer `logits` before the softmax.

    Raises:
        UserError: the network does not exist, a setting does not apply to it, its weights are not
            available, the images are too small, or an argument has the wrong type.
    """
    name = typed(str, "model", name)
    if name not in NAMES:
        raise UserError(f"there is no model {name!r}; the models are {', '.join(NAMES)}")
    if not isinstance(architecture, Architecture):
        raise UserError(
            f"{shown(architecture)} is no architecture; expected models.Architecture(...)"
        )
    require_settings_of(name, architecture)
    _check_size(name, image_shape, architecture.input_pooling)
    previous_policy = keras.config.dtype_policy()
    keras.config.set_dtype_policy(precision)
    try:
        inputs = keras.Input(image_shape, dtype="uint8", name="radiograph")
        x = to_network_input(inputs, architecture.scaling)
        if name in BACKBONES:
            x = add_backbone(name, x, architecture)
        else:
            x = lenet(x, architecture)
        if architecture.dropout:
            x = keras.layers.Dropout(architecture.dropout, name=DROPOUT)(x)
        # The loss needs full precision, regardless of the dtype of earlier layers.
        full = keras.config.dtype_policy().variable_dtype
        x = keras.layers.Dense(num_classes, dtype=full, name=LOGITS)(x)
        probabilities = keras.layers.Softmax(dtype=full, name="probabilities")(x)
        return keras.Model(inputs, probabilities, name=name)
    finally:
        keras.config.set_dtype_policy(previous_policy)


def require_settings_of(name: str, chosen: Any) -> None:
    """Rejects settings that have no effect on a network.

    Args:
        name: one of `NAMES`.
        chosen: a section of settings.

    Raises:
        UserError: a setting of other networks differs from its default.
    """
    kind = BACKBONE if name in BACKBONES else LENET
    for setting, value in changed(chosen).items():
        of = declared(chosen)[setting].only_for
        if of not in ("", kind):
            raise UserError(f"--{setting}={value} goes with {of}, not with --model={name}")


def _check_size(name: str, image_shape: tuple[int, int, int], input_pooling: int) -> None:
    least = _LEAST_BACKBONE if name in BACKBONES else _LEAST_LENET * input_pooling
    sides = typed(tuple, "image_shape", image_shape)
    if len(sides) != 3 or any(typed(int, "image_shape", side) < 1 for side in sides):
        raise UserError(f"--image_shape={shown(sides)}: expected height, width and channels")
    height, width, _ = sides
    if min(height, width) < least:
        pooled = f" with --input_pooling={input_pooling}" if input_pooling > 1 else ""
        raise UserError(
            f"images of {height}x{width} pixels are too small for {name}{pooled}: expected at "
            f"least {least}x{least}"
        )
