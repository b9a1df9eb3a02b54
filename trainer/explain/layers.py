"""The layers of a network that can be explained."""

import keras

from trainer.errors import UserError


def plane_layers(model: keras.Model) -> list[keras.layers.Layer]:
    """Returns the layers with a spatial plane that the whole computation passes through.

    The logits do not depend only on a layer inside a residual or dense block, so its heatmap would
    miss the evidence that bypasses it; such layers are excluded, and so are the preprocessing and
    pooling layers.

    Args:
        model: a flat model of `trainer.models.build`.

    Returns:
        Layers with feature maps `[batch, h, w, channels]`, starting from the input.
    """
    pooling = (keras.layers.AveragePooling2D, keras.layers.MaxPooling2D)
    last_use = _last_uses(model)
    found, convolved, reach = [], False, 0
    for position, layer in enumerate(model.layers):
        convolved |= isinstance(layer, keras.layers.Conv2D)
        nothing_goes_around = reach <= position
        reach = max(reach, last_use.get(id(layer.output), position))
        on_plane = len(layer.output.shape) == 4 and not isinstance(layer, pooling)
        if convolved and nothing_goes_around and on_plane:
            found.append(layer)
    return found


def plane_layer(model: keras.Model, name: str | None) -> keras.layers.Layer:
    """Returns the layer at which to explain a model.

    Args:
        model: a flat model of `trainer.models.build`.
        name: name of one of its `plane_layers`; None: the last one.

    Returns:
        The layer.

    Raises:
        UserError: the layer does not exist.
    """
    layers = {layer.name: layer for layer in plane_layers(model)}
    if name is None:
        return list(layers.values())[-1]
    if name not in layers:
        raise UserError(
            f"--layer={name}: {model.name} cannot be explained there; expected one of "
            f"{', '.join(layers)}"
        )
    return layers[name]


def _last_uses(model: keras.Model) -> dict[int, int]:
    """Maps the id of each layer's output to the position of the last layer that uses it."""
    return {
        id(tensor): position
        for position, layer in enumerate(model.layers)
        for tensor in keras.tree.flatten(layer.input)
    }
