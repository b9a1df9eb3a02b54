"""Cuts a network where its frozen backbone ends."""

import hashlib

import keras

from trainer.models.backbones import backbone_layers


def frozen_part(model: keras.Model) -> keras.Model:
    """The part of a network that is the same in every epoch if its backbone is frozen.

    It ends before the first layer behind the backbone that has weights. What stands between and
    neither learns nor draws at random, such as pooling and flattening, is part of it.

    Args:
        model: what `trainer.models.build` returned, with a backbone.

    Returns:
        A model from radiographs to features, which shares its layers with the whole; its output is
        where the rest of the network begins.
    """
    last = backbone_layers(model)[-1]
    for layer in model.layers[model.layers.index(last) + 1 :]:
        if layer.variables:
            break
        last = layer
    return keras.Model(model.input, last.output)


def weights_digest(model: keras.Model) -> str:
    """SHA-256, hexadecimal, of a model's weights."""
    digest = hashlib.sha256()
    for array in model.get_weights():
        digest.update(f"{array.shape} {array.dtype}".encode())
        digest.update(array.tobytes())
    return digest.hexdigest()
