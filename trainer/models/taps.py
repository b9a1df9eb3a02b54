"""Places of a network that others read: by what they are, not by the names of layers."""

import keras

# Names of layers that stand in saved models.
SCALING, LOGITS, DROPOUT, MAP_DROPOUT = "scaling", "logits", "dropout", "map_dropout"


class Taps:
    """Tensors and layers inside a network."""

    def __init__(self, network: keras.Model) -> None:
        """Looks for nothing yet.

        Args:
            network: what `trainer.models.build` returned, or a saved one.
        """
        self._network = network

    @property
    def scaled(self) -> keras.KerasTensor:
        """The radiographs as the first convolution sees them, `[batch, H, W, 3] float32`."""
        return self._network.get_layer(SCALING).output

    @property
    def features(self) -> keras.KerasTensor:
        """What the last dense layer sees, `[batch, features]`."""
        return self._network.get_layer(LOGITS).input

    @property
    def logits(self) -> keras.KerasTensor:
        """What goes into the softmax, `[batch, num_classes]`."""
        return self._network.get_layer(LOGITS).output

    @property
    def num_classes(self) -> int:
        """Number of classes."""
        return self.logits.shape[-1]

    @property
    def dropouts(self) -> list[keras.layers.Layer]:
        """The layers that leave out features in training, from the input on."""
        names = {layer.name for layer in self._network.layers}
        return [self._network.get_layer(name) for name in (MAP_DROPOUT, DROPOUT) if name in names]
