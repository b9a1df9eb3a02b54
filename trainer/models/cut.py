"""Cuts a network where its frozen backbone ends."""

import hashlib

import keras

from trainer.models.backbones import backbone_layers


def cut_behind_backbone(model: keras.Model) -> tuple[keras.Model, keras.Model]:
    """Cuts a network at the input of the first layer behind its backbone that has weights.

    What stands between and neither learns nor draws at random, such as pooling and flattening,
    goes with the backbone, because its result is smaller or the same.

    Args:
        model: what `trainer.models.build` returned, with a backbone.

    Returns:
        Two models that share the layers of the whole: from radiographs to features, and from
        features to logits.
    """
    behind = backbone_layers(model)[-1]
    layers = model.layers[model.layers.index(behind) + 1 :]
    for layer in layers:
        if layer.variables:
            break
        behind = layer
    head = keras.Model(behind.output, model.get_layer("logits").output)
    return keras.Model(model.input, behind.output), head


def weights_digest(model: keras.Model) -> str:
    """SHA-256, hexadecimal, of a model's weights."""
    digest = hashlib.sha256()
    for array in model.get_weights():
        digest.update(f"{array.shape} {array.dtype}".encode())
        digest.update(array.tobytes())
    return digest.hexdigest()
