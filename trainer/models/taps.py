"""Access to tensors and layers of a network by role instead of layer name."""

import keras

# Layer names in saved models.
SCALING, LOGITS, DROPOUT, MAP_DROPOUT = "scaling", "logits", "dropout", "map_dropout"


class Taps:
    """Tensors and layers inside a network."""

    def __init__(self, network: keras.Model) -> None:
        """Stores the network; looks nothing up.

        Args:
            network: a model from `trainer.models.build`, or a loaded one.
        """
        self._network = network

    @property
    def scaled(self) -> keras.KerasTensor:
        """The scaled radiographs, input of the first convolution, `[batch, H, W, 3] float32`."""
        return self._network.get_layer(SCALING).output

    @property
    def features(self) -> keras.KerasTensor:
        """The input of the last dense layer, `[batch, features]`."""
        return self._network.get_layer(LOGITS).input

    @property
    def logits(self) -> keras.KerasTensor:
        """The input of the softmax, `[batch, num_classes]`."""
        return self._network.get_layer(LOGITS).output

    @property
    def num_classes(self) -> int:
        """Number of classes."""
        return self.logits.shape[-1]

    @property
    def dropouts(self) -> list[keras.layers.Layer]:
        """The dropout layers, starting from the input."""
        names = {layer.name for layer in self._network.layers}
        return [self._network.get_layer(name) for name in (MAP_DROPOUT, DROPOUT) if name in names]
