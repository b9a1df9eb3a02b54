"""A backbone's weights: found or downloaded, and loaded only if every layer matches."""

import dataclasses
import hashlib
import io
import math
import os
import pathlib
from typing import Any

import h5py
import keras
from absl import logging

from cxr_command import whole_file
from cxr_command.checksums import sha256_of
from cxr_command.foreign_text import first_line
from trainer.errors import Damaged, UserError
from trainer.hdf5_trial import claimed_bytes
from trainer.keras_file import nothing_passed_over, private_copy, weights_of_archive
from trainer.parsing import parsing

_BYTES_OF_WEIGHT = 4
# A file may also hold an optimizer's state, and any array in float64.
_MOST_TIMES = 8


@dataclasses.dataclass(frozen=True)
class ImageNetWeights:
    """The ImageNet weights of a network without its top, as keras.applications publishes them.

    Attributes:
        url: URL of the file.
        md5: its hexadecimal digest.
    """

    url: str
    md5: str

    @property
    def file_name(self) -> str:
        """Name of the file."""
        return self.url.rpartition("/")[2]


def is_here(imagenet: ImageNetWeights) -> bool:
    """Whether the ImageNet weights are already in KERAS_HOME/models."""
    return _place_of(imagenet).is_file()


def find_weights(weights: str, imagenet: ImageNetWeights) -> pathlib.Path:
    """Finds a weights file; downloads ImageNet's if it is not in KERAS_HOME/models.

    Args:
        weights: `imagenet` or a path.
        imagenet: the network's ImageNet weights.

    Returns:
        The file.

    Raises:
        UserError: the file is missing, ImageNet's cannot be downloaded (the message says where to
            put it), or the existing file is a different one.
    """
    path = _imagenet_file(imagenet) if weights == "imagenet" else pathlib.Path(weights)
    if not os.path.isfile(path):
        raise UserError(f"--weights={weights}: no such file (expected a Keras .h5 file)")
    return path


def describe_weights(path: pathlib.Path) -> dict[str, Any]:
    """Returns the file's path and its hexadecimal SHA-256, for config.json."""
    with parsing(path, "give another file"):
        return {"file": str(path), "sha256": sha256_of(path)}


def load_weights(network: keras.Model, path: pathlib.Path) -> None:
    """Loads weights into a network with the same layers.

    Args:
        network: a network of keras.applications without its top.
        path: the result of `find_weights`.

    Raises:
        UserError: the file cannot be read, holds no weights, or has different layers, the first of
            which is named.
    """
    try:
        with parsing(path, "give another file"):
            content = path.read_bytes()
            _check(network, path.name, content)
            with private_copy(content, path.name) as copy, nothing_passed_over():
                network.load_weights(copy)
    except Damaged as error:
        reason = first_line(error.__cause__ or error).partition(". Example")[0]
        raise UserError(
            f"the weights in {path} do not fit {network.name}: {reason}; expected are weights of "
            "this network without its top"
        ) from error
    logging.info("loaded weights from %s", path)


def _check(network: keras.Model, name: str, content: bytes) -> None:
    """Raises `ValueError` if the weights do not match the network or would exhaust memory."""
    weights = weights_of_archive(content) if name.endswith(".keras") else content
    own = sum(math.prod(weight.shape) for weight in network.weights) * _BYTES_OF_WEIGHT
    if (claimed := claimed_bytes(weights)) > _MOST_TIMES * own:
        raise ValueError(f"they claim to take {claimed} bytes, the network's take {own}")
    if name.endswith((".h5", ".hdf5")) and not name.endswith(".weights.h5"):
        _check_layers(network, content)


def _check_layers(network: keras.Model, content: bytes) -> None:
    """Compares a file's layers with the network's, as Keras only relies on their order."""
    with h5py.File(io.BytesIO(content)) as file:
        group = file if "layer_names" in file.attrs else file["model_weights"]
        found = {name: _shapes(group[name]) for name in map(_text, group.attrs["layer_names"])}
    found = {name: shapes for name, shapes in found.items() if shapes}
    expected = {
        layer.name: [tuple(weight.shape) for weight in layer.weights]
        for layer in network.layers
        if layer.weights
    }
    for name, shapes in expected.items():
        if found.get(name) != shapes:
            what = f"has the shapes {found[name]}" if name in found else "is not in the file"
            raise ValueError(f"layer {name} {what}; expected are the shapes {shapes}")
    for name in found.keys() - expected.keys():
        raise ValueError(f"layer {name} of the file is not in the network")
    if list(found) != list(expected):
        raise ValueError("the file's layers are in another order")


def _shapes(group: h5py.Group) -> list[tuple[int, ...]]:
    return [group[_text(name)].shape for name in group.attrs["weight_names"]]


def _text(name: str | bytes) -> str:
    return name.decode() if isinstance(name, bytes) else name


def _place_of(imagenet: ImageNetWeights) -> pathlib.Path:
    return _keras_home() / "models" / imagenet.file_name


def _imagenet_file(imagenet: ImageNetWeights) -> pathlib.Path:
    """Returns the published file, downloading it if missing; a different file is left alone."""
    path = _place_of(imagenet)
    if os.path.lexists(path):
        _require_md5(path, imagenet.md5)
        return path
    try:
        with whole_file.writing(path, shared=True) as partial:
            # Keras would write to the final path incrementally.
            keras.utils.get_file(
                partial.name, imagenet.url, cache_dir=str(_keras_home()), cache_subdir="models",
                file_hash=imagenet.md5,
            )  # fmt: skip
    except Exception as error:
        raise UserError(
            f"the ImageNet weights are not on this machine and could not be downloaded "
            f"({first_line(error)}); fetch {imagenet.url} on a machine with network and put it at "
            f"{path}, or give --weights=none"
        ) from error
    return path


def _require_md5(path: pathlib.Path, md5: str) -> None:
    with parsing(path, "move it away to have it fetched"), path.open("rb") as file:
        found = hashlib.file_digest(file, lambda: hashlib.md5(usedforsecurity=False)).hexdigest()
        if found != md5:
            raise ValueError(f"its MD5 is {found}, that of the published weights {md5}")


def _keras_home() -> pathlib.Path:
    return pathlib.Path(os.environ.get("KERAS_HOME", "~/.keras")).expanduser()
