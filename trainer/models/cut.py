"""Splits a network at the end of its frozen backbone."""

import hashlib

import keras

from trainer.models.backbones import backbone_layers


def frozen_part(model: keras.Model) -> keras.Model:
    """Returns the part of a network that is constant in training if its backbone is frozen.

    It ends before the first layer with weights after the backbone. Deterministic layers without
    weights in between, such as pooling and flattening, are included.

    Args:
        model: a model from `trainer.models.build`, with a backbone.

    Returns:
        A model from radiographs to features that shares its layers with the whole network; its
        output is the input of the rest.
    """
    last = backbone_layers(model)[-1]
    for layer in model.layers[model.layers.index(last) + 1 :]:
        if layer.variables:
            break
        last = layer
    return keras.Model(model.input, last.output)


def weights_digest(model: keras.Model) -> str:
    """Returns the hexadecimal SHA-256 of a model's weights."""
    digest = hashlib.sha256()
    for array in model.get_weights():
        digest.update(f"{array.shape} {array.dtype}".encode())
        digest.update(array.tobytes())
    return digest.hexdigest()
