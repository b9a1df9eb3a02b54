"""The three ImageNet backbones of keras.applications and their heads."""

import dataclasses
from collections.abc import Callable

import keras

from trainer.models.architecture import Architecture
from trainer.models.taps import SCALING
from trainer.models.weights import ImageNetWeights, find_weights, load_weights


@dataclasses.dataclass(frozen=True)
class Backbone:
    """A network of keras.applications and the head that the original used.

    Attributes:
        application: creates the network without its top.
        imagenet: its ImageNet weights.
        head: maps the backbone's last feature map to features, with new layers at each call.
        is_trained: whether the original trained it.
    """

    application: Callable[..., keras.Model]
    imagenet: ImageNetWeights
    head: Callable[[keras.KerasTensor], keras.KerasTensor]
    is_trained: bool = False


def _flatten_and_dense(units: int) -> Callable[[keras.KerasTensor], keras.KerasTensor]:
    def head(x: keras.KerasTensor) -> keras.KerasTensor:
        x = keras.layers.Flatten(name="flatten")(x)
        return keras.layers.Dense(units, activation="relu", name="dense")(x)

    return head


def _max_pool(x: keras.KerasTensor) -> keras.KerasTensor:
    return keras.layers.GlobalMaxPooling2D(name="max_pool")(x)


_STORAGE = "https://storage.googleapis.com/tensorflow/keras-applications"

BACKBONES = {
    "resnet101": Backbone(
        keras.applications.ResNet101,
        ImageNetWeights(
            f"{_STORAGE}/resnet/resnet101_weights_tf_dim_ordering_tf_kernels_notop.h5",
            "88cf7a10940856eca736dc7b7e228a21",
        ),
        _flatten_and_dense(256),
    ),
    "vgg19": Backbone(
        keras.applications.VGG19,
        ImageNetWeights(
            f"{_STORAGE}/vgg19/vgg19_weights_tf_dim_ordering_tf_kernels_notop.h5",
            "253f8cb515780f3b799900260a226db6",
        ),
        _flatten_and_dense(1024),
    ),
    "densenet169": Backbone(
        keras.applications.DenseNet169,
        ImageNetWeights(
            f"{_STORAGE}/densenet/densenet169_weights_tf_dim_ordering_tf_kernels_notop.h5",
            "b8c4d4c20dd625c148057b9ff1c1176b",
        ),
        _max_pool,
        is_trained=True,
    ),
}
_FIRST_OF_HEAD = ("max_pool", "flatten", "average_pool")


def add_backbone(
    name: str, inputs: keras.KerasTensor, architecture: Architecture
) -> keras.KerasTensor:
    """Adds a backbone and a head to the inputs as a flat graph, so every layer is accessible.

    Args:
        name: a key of `BACKBONES`.
        inputs: `[batch, height, width, 3]` scaled radiographs.
        architecture: `weights`, `train_backbone` and `head` are used. BatchNormalization in a
            frozen backbone stays in inference mode.

    Returns:
        `[batch, features]`.

    Raises:
        UserError: the weights are not available or do not match.
    """
    backbone = BACKBONES[name]
    before = backbone.application(include_top=False, weights=None, input_tensor=inputs)
    if architecture.weights != "none":
        load_weights(before, find_weights(architecture.weights, backbone.imagenet))
    else:
        _start_from_random(before)
    asked = architecture.train_backbone
    for layer in before.layers:
        layer.trainable = backbone.is_trained if asked is None else asked
    if architecture.head == "average_pool":
        return keras.layers.GlobalAveragePooling2D(name="average_pool")(before.output)
    return backbone.head(before.output)


def _start_from_random(network: keras.Model) -> None:
    normalisations = [
        layer for layer in network.layers if isinstance(layer, keras.layers.BatchNormalization)
    ]
    # Keras' default of 0.99 averages statistics over hundreds of steps, possibly the whole training
    # of a small dataset; torchvision trains the same networks with 0.9.
    for layer in normalisations:
        layer.momentum = 0.9
    if not normalisations:
        _keep_variance(network)


def _keep_variance(network: keras.Model) -> None:
    """Reinitializes convolutions so that signals keep their variance through the ReLUs.

    Keras' default initialization halves the variance in each of VGG-19's 16 convolutions, which
    have no normalisation to correct it. He et al. 2015, "Delving Deep into Rectifiers", equation
    10.
    """
    initializer = keras.initializers.HeNormal()
    for layer in network.layers:
        if isinstance(layer, keras.layers.Conv2D):
            layer.kernel.assign(initializer(layer.kernel.shape, layer.kernel.dtype))


def backbone_layers(model: keras.Model) -> list[keras.layers.Layer]:
    """Returns the layers of a model that belong to its backbone, starting from the input.

    Args:
        model: a model from `build`.

    Returns:
        The layers between the preprocessing and the head; none for LeNet.
    """
    names = [layer.name for layer in model.layers]
    if model.name not in BACKBONES:
        return []
    first_of_head = next(names.index(name) for name in _FIRST_OF_HEAD if name in names)
    return model.layers[names.index(SCALING) + 1 : first_of_head]
