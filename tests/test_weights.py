"""The weights that a backbone reads from a file."""

import dataclasses
import hashlib
import pathlib
import shutil

import h5py
import keras
import numpy as np
import pytest

from tests.support.legacy_weights import (
    assert_holds,
    network_without_top,
    weights_by_layer,
    write_legacy_weights,
)
from trainer import models
from trainer.errors import Unreadable, UserError
from trainer.models.backbones import BACKBONES

SMALL = (64, 64, 1)
VGG19_FILE = "vgg19_weights_tf_dim_ordering_tf_kernels_notop.h5"


@pytest.fixture(scope="module")
def vgg19(tmp_path_factory):
    """Weights of a VGG-19 by layer, and the file that holds them."""
    network = network_without_top(keras.applications.VGG19)
    path = tmp_path_factory.mktemp("weights") / "vgg19.h5"
    write_legacy_weights(network, path)
    return weights_by_layer(network), path


def narrow_vgg19(include_top, weights, input_tensor):
    """The layers of VGG-19 with an eighth of the channels."""
    x = input_tensor
    for block, (convolutions, channels) in enumerate(
        [(2, 8), (2, 16), (4, 32), (4, 64), (4, 64)], start=1
    ):
        for number in range(1, convolutions + 1):
            options = {"padding": "same", "activation": "relu"}
            x = keras.layers.Conv2D(channels, 3, name=f"block{block}_conv{number}", **options)(x)
        x = keras.layers.MaxPooling2D(name=f"block{block}_pool")(x)
    return keras.Model(keras.utils.get_source_inputs(input_tensor), x, name="vgg19")


@pytest.fixture(scope="module")
def narrow_file(tmp_path_factory):
    """The weights file of a narrow VGG-19."""
    path = tmp_path_factory.mktemp("weights") / "narrow.h5"
    write_legacy_weights(narrow_vgg19(False, None, keras.Input((32, 32, 3))), path)
    return path


@pytest.fixture
def narrow(narrow_file, monkeypatch):
    """The same, while VGG-19 is narrow."""
    thin = dataclasses.replace(BACKBONES["vgg19"], application=narrow_vgg19)
    monkeypatch.setitem(BACKBONES, "vgg19", thin)
    return narrow_file


def test_lenet_takes_no_weights():
    with pytest.raises(
        UserError, match="--weights=imagenet goes with a backbone, not with --model=lenet"
    ):
        models.build("lenet", models.Architecture(weights="imagenet"))


def test_every_weight_of_the_backbone_is_read_from_a_file(vgg19):
    expected, path = vgg19
    model = models.build("vgg19", models.Architecture(weights=str(path)), image_shape=SMALL)
    assert_holds(weights_by_layer(model), expected)


def test_imagenet_weights_are_taken_from_keras_home(vgg19, tmp_path, monkeypatch):
    expected, path = vgg19
    (tmp_path / "models").mkdir()
    shutil.copy(path, tmp_path / "models" / VGG19_FILE)
    of_file = hashlib.md5(path.read_bytes(), usedforsecurity=False).hexdigest()
    published = BACKBONES["vgg19"]
    imagenet = dataclasses.replace(published.imagenet, md5=of_file)
    monkeypatch.setitem(BACKBONES, "vgg19", dataclasses.replace(published, imagenet=imagenet))
    monkeypatch.setenv("KERAS_HOME", str(tmp_path))
    model = models.build("vgg19", models.Architecture(weights="imagenet"), image_shape=SMALL)
    assert_holds(weights_by_layer(model), expected)


def test_the_weights_of_another_network_are_refused(tmp_path):
    network = keras.applications.VGG16(include_top=False, weights=None, input_shape=(32, 32, 3))
    path = tmp_path / "vgg16.h5"
    write_legacy_weights(network, path)
    with pytest.raises(UserError, match=rf"{path} do not fit.*layer block\d_conv4 is not in"):
        models.build("vgg19", models.Architecture(weights=str(path)), image_shape=SMALL)


def rename_layer(file):
    names = list(file.attrs["layer_names"])
    names[names.index("block2_conv1")] = "stranger"
    file.attrs["layer_names"] = names
    file.move("block2_conv1", "stranger")


def reshape_layer(file):
    layer = file["block3_conv2"]
    bias = layer.attrs["weight_names"][1]
    del layer[bias]
    layer[bias] = np.zeros(7, np.float32)


def swap_layers(file):
    names = list(file.attrs["layer_names"])
    first, second = names.index("block5_conv1"), names.index("block5_conv2")
    names[first], names[second] = names[second], names[first]
    file.attrs["layer_names"] = names


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (rename_layer, "layer block2_conv1 is not in the file"),
        (reshape_layer, r"layer block3_conv2 has the shapes.*\(7,\).*expected.*\(32,\)"),
        (swap_layers, "the file.s layers are in another order"),
    ],
)
def test_a_layer_that_does_not_match_is_named(narrow, tmp_path, change, said):
    path = tmp_path / "changed.h5"
    shutil.copy(narrow, path)
    with h5py.File(path, "r+") as file:
        change(file)
    with pytest.raises(UserError, match=f"{path} do not fit vgg19: {said}"):
        models.build("vgg19", models.Architecture(weights=str(path)), image_shape=SMALL)


def test_a_file_that_holds_no_weights_is_refused(narrow, tmp_path):
    for name in ("garbage.h5", "garbage.keras", "garbage.txt"):
        path = tmp_path / name
        path.write_bytes(b"no weights")
        with pytest.raises(UserError, match=str(path)):
            models.build("vgg19", models.Architecture(weights=str(path)), image_shape=SMALL)


def damage_attribute(name, value):
    def damage(file):
        del file.attrs[name]
        if value is not None:
            file.attrs[name] = value

    return damage


def enormous_array(file):
    # Nothing is written to it, so it takes no room in the file.
    file.create_dataset("top_level_model_weights/a", (1 << 40,), "float32")
    file["top_level_model_weights"].attrs["weight_names"] = ["a"]


DAMAGES = {
    "no layer_names": damage_attribute("layer_names", None),
    "layer_names a number": damage_attribute("layer_names", 7),
    "layer_names unknown": damage_attribute("layer_names", ["nowhere"]),
    "layer_names no text": damage_attribute("layer_names", [b"\xff"]),
    "no weight_names": lambda file: file["block1_conv1"].attrs.pop("weight_names"),
    "weight_names numbers": lambda file: rename_arrays(file["block1_conv1"], [1, 2]),
    "a group for an array": lambda file: (
        rename_arrays(file["block1_conv1"], ["g", "g"]),
        file["block1_conv1"].create_group("g"),
    ),
    "texts for numbers": lambda file: replace_array(file["block1_conv1"]),
    "an enormous array": enormous_array,
}


def rename_arrays(layer, names):
    del layer.attrs["weight_names"]
    layer.attrs["weight_names"] = names


def replace_array(layer):
    name = layer.attrs["weight_names"][1]
    shape = layer[name].shape
    del layer[name]
    layer.create_dataset(name, shape, h5py.string_dtype())


@pytest.mark.parametrize("damage", DAMAGES)
def test_weights_that_are_damaged_are_a_sentence(narrow, tmp_path, damage):
    path = tmp_path / "damaged.h5"
    shutil.copy(narrow, path)
    with h5py.File(path, "r+") as file:
        DAMAGES[damage](file)
    with pytest.raises(UserError, match=f"the weights in {path} do not fit vgg19: ") as raised:
        models.build("vgg19", models.Architecture(weights=str(path)), image_shape=SMALL)
    assert "\n" not in str(raised.value)


@pytest.mark.parametrize("name", ["a.h5", "a.weights.h5", "a.keras", "a.hdf5", "a", "a.json"])
def test_weights_that_were_cut_short_are_a_sentence(narrow, tmp_path, name):
    path = tmp_path / name
    path.write_bytes(narrow.read_bytes()[:50_000])
    with pytest.raises(UserError, match=f"the weights in {path} do not fit vgg19: "):
        models.build("vgg19", models.Architecture(weights=str(path)), image_shape=SMALL)


def test_weights_that_cannot_be_read_are_not_called_damaged(narrow, monkeypatch):
    def fail(path):
        raise OSError(5, "Input/output error")

    monkeypatch.setattr(pathlib.Path, "read_bytes", fail)
    with pytest.raises(Unreadable, match="Input/output error. and may be whole"):
        models.build("vgg19", models.Architecture(weights=str(narrow)), image_shape=SMALL)


def test_weights_below_a_directory_of_any_name_are_read(vgg19, tmp_path):
    path = tmp_path / "lr[1] *?" / "w.h5"
    path.parent.mkdir()
    shutil.copy(vgg19[1], path)
    assert_holds(
        weights_by_layer(
            models.build("vgg19", models.Architecture(weights=str(path)), image_shape=SMALL)
        ),
        vgg19[0],
    )


def test_a_missing_weights_file_is_named():
    with pytest.raises(UserError, match="--weights=missing.h5"):
        models.build("vgg19", models.Architecture(weights="missing.h5"), image_shape=SMALL)


def test_without_network_the_user_is_told_what_to_fetch_and_where_to_put_it(monkeypatch, tmp_path):
    def no_network(name, origin, **kwargs):
        raise Exception(f"URL fetch failure on {origin}: None -- [Errno -2] Name not known")

    monkeypatch.setattr(keras.utils, "get_file", no_network)
    monkeypatch.setenv("KERAS_HOME", str(tmp_path))
    with pytest.raises(UserError) as refused:
        models.build("vgg19", models.Architecture(weights="imagenet"), image_shape=SMALL)
    published = keras.src.applications.vgg19.WEIGHTS_PATH_NO_TOP
    assert published in str(refused.value)
    assert str(pathlib.Path(tmp_path, "models", VGG19_FILE)) in str(refused.value)


def test_a_file_that_is_not_the_published_one_is_named_and_stays(monkeypatch, tmp_path):
    monkeypatch.setenv("KERAS_HOME", str(tmp_path))
    path = tmp_path / "models" / VGG19_FILE
    path.parent.mkdir()
    path.write_bytes(b"half of it")
    with pytest.raises(UserError, match=f"{path} is damaged .its MD5 is .*; move it away"):
        models.build("vgg19", models.Architecture(weights="imagenet"), image_shape=SMALL)
    assert path.read_bytes() == b"half of it"


def test_what_was_fetched_gets_its_name_when_it_is_whole(monkeypatch, tmp_path):
    def fetch(name, origin, cache_dir, cache_subdir, file_hash):
        path = pathlib.Path(cache_dir, cache_subdir, name)
        assert name != VGG19_FILE and file_hash
        path.parent.mkdir()
        path.write_bytes(b"weights")
        return str(path)

    monkeypatch.setattr(keras.utils, "get_file", fetch)
    monkeypatch.setenv("KERAS_HOME", str(tmp_path))
    with pytest.raises(UserError, match="do not fit"):
        models.build("vgg19", models.Architecture(weights="imagenet"), image_shape=SMALL)
    assert [path.name for path in (tmp_path / "models").iterdir()] == [VGG19_FILE]
