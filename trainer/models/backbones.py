"""The three ImageNet backbones of keras.applications, and the heads that go on them."""

import dataclasses
import os
import pathlib
import zipfile
from collections.abc import Callable

import keras
from absl import logging

from trainer.errors import UserError


@dataclasses.dataclass(frozen=True)
class Backbone:
    """A network of keras.applications and the head that the original put on it.

    Attributes:
        application: makes the network without its top.
        weights_file: name of its ImageNet weights without top, as keras.applications calls it.
        weights_url: where keras.applications takes that file from.
        head: from the backbone's last feature map to features.
    """

    application: Callable[..., keras.Model]
    weights_file: str
    weights_url: str
    head: Callable[[keras.KerasTensor], keras.KerasTensor]


def _flatten_and_dense(units: int) -> Callable[[keras.KerasTensor], keras.KerasTensor]:
    def head(x: keras.KerasTensor) -> keras.KerasTensor:
        x = keras.layers.Flatten(name="flatten")(x)
        return keras.layers.Dense(units, activation="relu", name="dense")(x)

    return head


_STORAGE = "https://storage.googleapis.com/tensorflow/keras-applications"

BACKBONES = {
    "resnet101": Backbone(
        keras.applications.ResNet101,
        "resnet101_weights_tf_dim_ordering_tf_kernels_notop.h5",
        f"{_STORAGE}/resnet",
        _flatten_and_dense(256),
    ),
    "vgg19": Backbone(
        keras.applications.VGG19,
        "vgg19_weights_tf_dim_ordering_tf_kernels_notop.h5",
        f"{_STORAGE}/vgg19",
        _flatten_and_dense(1024),
    ),
    "densenet169": Backbone(
        keras.applications.DenseNet169,
        "densenet169_weights_tf_dim_ordering_tf_kernels_notop.h5",
        f"{_STORAGE}/densenet",
        keras.layers.GlobalMaxPooling2D(name="max_pool"),
    ),
}


# `original` is the head of `Backbone.head`; `average_pool` averages each feature over the plane.
HEADS = ("original", "average_pool")
_FIRST_OF_HEAD = ("max_pool", "flatten", "average_pool")


def add_backbone(
    name: str, inputs: keras.KerasTensor, weights: str, trainable: bool, head: str = "original"
) -> keras.KerasTensor:
    """Puts a backbone and a head behind the inputs, flat: every layer can be tapped.

    Args:
        name: a key of `BACKBONES`.
        inputs: `[batch, height, width, 3]` scaled radiographs.
        weights: `imagenet`, `none` or the path of a weights file without top.
        trainable: whether the backbone is trained; if not, its BatchNormalization stays in
            inference mode.
        head: one of `HEADS`.

    Returns:
        `[batch, features]`.

    Raises:
        UserError: the weights cannot be had or do not fit.
    """
    backbone = BACKBONES[name]
    before = backbone.application(include_top=False, weights=None, input_tensor=inputs)
    if weights != "none":
        _load_weights(before, backbone, weights)
    for layer in before.layers:
        layer.trainable = trainable
    if head == "average_pool":
        return keras.layers.GlobalAveragePooling2D(name="average_pool")(before.output)
    return backbone.head(before.output)


def backbone_layers(model: keras.Model) -> list[keras.layers.Layer]:
    """The layers of a model that belong to its backbone, from the input on.

    Args:
        model: what `build` returned.

    Returns:
        The layers between the preprocessing and the head; none for LeNet.
    """
    names = [layer.name for layer in model.layers]
    if model.name not in BACKBONES:
        return []
    first_of_head = next(names.index(name) for name in _FIRST_OF_HEAD if name in names)
    return model.layers[names.index("scaling") + 1 : first_of_head]


def _load_weights(network: keras.Model, backbone: Backbone, weights: str) -> None:
    path = pathlib.Path(weights) if weights != "imagenet" else _imagenet_file(backbone)
    if not path.is_file():
        raise UserError(f"--weights={weights}: there is no such file (expected a Keras .h5 file)")
    try:
        network.load_weights(path)
    except (ValueError, OSError, KeyError, zipfile.BadZipFile) as error:
        reason = str(error).splitlines()[0]
        raise UserError(f"the weights in {path} do not fit {network.name}: {reason}") from error
    logging.info("loaded weights from %s", path)


def _imagenet_file(backbone: Backbone) -> pathlib.Path:
    url = f"{backbone.weights_url}/{backbone.weights_file}"
    try:
        return pathlib.Path(keras.utils.get_file(backbone.weights_file, url, cache_subdir="models"))
    except Exception as error:
        where = _keras_home() / "models" / backbone.weights_file
        raise UserError(
            f"the ImageNet weights are not on this machine and could not be downloaded "
            f"({str(error).splitlines()[0]}); fetch {url} on a machine with network and "
            f"put it at {where}, or give --weights=none"
        ) from error


def _keras_home() -> pathlib.Path:
    return pathlib.Path(os.environ.get("KERAS_HOME", "~/.keras")).expanduser()
