import dataclasses
import hashlib
import pathlib
import shutil
import subprocess
import sys

import h5py
import keras
import numpy as np
import pytest
import scipy.special
from keras.src.legacy.saving import legacy_h5_format

from trainer import models
from trainer.errors import Unreadable, UserError
from trainer.models.backbones import BACKBONES

SMALL = (64, 64, 1)
VGG19_FILE = "vgg19_weights_tf_dim_ordering_tf_kernels_notop.h5"


def radiographs(count=3, shape=SMALL):
    return np.random.default_rng(0).integers(0, 256, (count, *shape), dtype=np.uint8)


def parameters(weights):
    return sum(int(np.prod(weight.shape)) for weight in weights)


def run_python(program, *arguments, **kwargs):
    done = subprocess.run(  # noqa: S603
        [sys.executable, "-c", program, *map(str, arguments)],
        capture_output=True, text=True, timeout=120, **kwargs,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr


def write_legacy_weights(network, path):
    """Writes weights in the format of the published `*_notop.h5` files."""
    with h5py.File(path, "w") as file:
        legacy_h5_format.save_weights_to_hdf5_group(file, network)


def network_without_top(application):
    """A network whose weights, BatchNormalization's too, are not those that a build gives."""
    network = application(include_top=False, weights=None, input_shape=(32, 32, 3))
    generator = np.random.default_rng(0)
    for weight in network.weights:
        if len(weight.shape) == 1:
            weight.assign_add(0.1 * generator.random(weight.shape, np.float32))
    return network


def weights_by_layer(network):
    return {
        f"{layer.name}/{index}": weight
        for layer in network.layers
        for index, weight in enumerate(layer.get_weights())
    }


def assert_holds(found, expected):
    assert expected
    for name, weight in expected.items():
        np.testing.assert_array_equal(found[name], weight, err_msg=name)


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


@pytest.fixture(scope="module")
def densenet169(tmp_path_factory):
    """A frozen DenseNet-169 that has read a weights file, and the backbone's weights by layer."""
    network = network_without_top(keras.applications.DenseNet169)
    path = tmp_path_factory.mktemp("weights") / "densenet169.h5"
    write_legacy_weights(network, path)
    model = models.build(
        "densenet169",
        models.Architecture(weights=str(path), train_backbone=False),
        image_shape=(32, 32, 1),
    )
    return model, weights_by_layer(network)


@pytest.mark.parametrize(
    ("name", "total", "trainable"),
    [
        ("lenet", 23_907_908, 23_907_908),
        ("resnet101", 68_349_572, 25_691_396),
        ("vgg19", None, 25_695_236),
        ("densenet169", 12_649_540, 12_491_140),
    ],
)
def test_the_networks_have_as_many_parameters_as_the_originals(name, total, trainable):
    model = models.build(name)
    assert model.input.shape == (None, 224, 224, 1)
    assert parameters(model.trainable_weights) == trainable
    if total is not None:
        assert parameters(model.weights) == total


def test_probabilities_are_the_softmax_of_the_logits():
    model = models.build("lenet", image_shape=SMALL, num_classes=5)
    logits = keras.Model(model.input, model.get_layer("logits").output)(radiographs())
    probabilities = model(radiographs()).numpy()
    assert probabilities.shape == (3, 5)
    np.testing.assert_allclose(probabilities.sum(axis=1), 1, atol=1e-6)
    np.testing.assert_allclose(probabilities, scipy.special.softmax(logits, axis=1), atol=1e-6)


def test_a_saved_model_needs_keras_alone_and_takes_uint8(tmp_path):
    model = models.build("lenet", models.Architecture(scaling="torch"), image_shape=SMALL)
    model.save(tmp_path / "model.keras")
    np.save(tmp_path / "images.npy", radiographs())
    run_python(
        """if True:
        import sys
        sys.modules["trainer"] = None  # Importing it fails, even where it is installed.
        import keras, numpy
        model = keras.models.load_model("model.keras", safe_mode=True)
        numpy.save("probabilities.npy", model(numpy.load("images.npy")))
        """,
        cwd=tmp_path,
    )
    probabilities = np.load(tmp_path / "probabilities.npy")
    np.testing.assert_allclose(probabilities, model(radiographs()), atol=1e-6)


def test_the_strong_lenet_is_saved_and_answers_as_it_would_without_dropout(tmp_path):
    strong = {"scaling": "torch", "input_pooling": 4, "pooling": "average_max"}
    dropout = {"dropout": 0.5, "map_dropout": 0.5}
    model = models.build("lenet", models.Architecture(**strong, **dropout), image_shape=SMALL)
    plain = models.build("lenet", models.Architecture(**strong), image_shape=SMALL)
    plain.set_weights(model.get_weights())
    model.save(tmp_path / "model.keras")
    loaded = keras.models.load_model(tmp_path / "model.keras", safe_mode=True)
    for one in (model, loaded):
        np.testing.assert_allclose(one(radiographs()), plain(radiographs()), atol=1e-6)


def test_input_pooling_averages_squares_of_the_scaled_radiograph():
    model = models.build("lenet", models.Architecture(input_pooling=4), image_shape=SMALL)
    pooled = keras.Model(model.input, model.get_layer("input_pool").output)(radiographs())
    squares = radiographs().reshape(3, 16, 4, 16, 4).astype(np.float64)
    np.testing.assert_allclose(pooled[..., 0], squares.mean(axis=(2, 4)), rtol=1e-5)


def test_the_dense_layer_sees_averages_and_maxima_of_the_squares():
    model = models.build("lenet", models.Architecture(pooling="average_max"), image_shape=SMALL)
    outputs = [model.get_layer(name).output for name in ("conv2", "dense")]
    maps, features = keras.Model(model.input, outputs)(radiographs())
    height, width = (side // 2 for side in maps.shape[1:3])
    squares = maps.numpy()[:, : 2 * height, : 2 * width].reshape(3, height, 2, width, 2, 64)
    seen = [squares.mean((2, 4)).reshape(3, -1), squares.max((2, 4)).reshape(3, -1)]
    kernel, bias = model.get_layer("dense").get_weights()
    expected = np.maximum(np.concatenate(seen, axis=1) @ kernel + bias, 0)
    np.testing.assert_allclose(features, expected, rtol=1e-4, atol=1e-3)


def test_an_average_pooled_head_takes_the_mean_of_each_feature_over_the_plane():
    model = models.build("vgg19", models.Architecture(head="average_pool"), image_shape=SMALL)
    last, logits = (
        keras.Model(model.input, model.get_layer(name).output)(radiographs())
        for name in ("block5_pool", "logits")
    )
    kernel, bias = model.get_layer("logits").get_weights()
    expected = np.mean(last, axis=(1, 2)) @ kernel + bias
    np.testing.assert_allclose(logits, expected, rtol=1e-3, atol=1e-3)
    assert parameters(model.weights) == 20_024_384 + 512 * 4 + 4


@pytest.mark.parametrize("mode", ["caffe", "torch"])
@pytest.mark.parametrize("precision", ["float32", "mixed_float16"])
def test_scaling_is_that_of_keras_applications(mode, precision):
    model = models.build(
        "lenet", models.Architecture(scaling=mode), image_shape=SMALL, precision=precision
    )
    scaled = keras.Model(model.input, model.get_layer("scaling").output)(radiographs())
    rgb = np.tile(radiographs().astype(np.float32), 3)
    expected = keras.applications.imagenet_utils.preprocess_input(rgb, mode=mode)
    tolerance = 1e-4 if precision == "float32" else 0.1  # float16 rounds 100 to 1/16.
    np.testing.assert_allclose(np.array(scaled, np.float32), expected, atol=tolerance)


def test_the_original_scaling_gives_the_gray_values_themselves():
    model = models.build("lenet", models.Architecture(scaling="raw"), image_shape=SMALL)
    scaled = keras.Model(model.input, model.get_layer("scaling").output)(radiographs())
    np.testing.assert_array_equal(scaled, np.tile(radiographs(), 3))


@pytest.mark.parametrize("precision", ["mixed_bfloat16", "mixed_float16"])
def test_mixed_precision_computes_in_half_and_answers_in_float32(precision):
    model = models.build("lenet", image_shape=SMALL, precision=precision)
    assert model.get_layer("conv2").output.dtype == precision.removeprefix("mixed_")
    assert all(weight.dtype == "float32" for weight in model.weights)
    logits = keras.Model(model.input, model.get_layer("logits").output)(radiographs())
    assert logits.dtype == "float32"
    assert model(radiographs()).dtype == "float32"


def test_building_leaves_the_global_precision_as_it_was():
    before = keras.config.dtype_policy()
    keras.config.set_dtype_policy("mixed_bfloat16")
    try:
        models.build("lenet", image_shape=SMALL, precision="float32")
        assert keras.config.dtype_policy().name == "mixed_bfloat16"
        with pytest.raises(UserError):
            models.build(
                "vgg19",
                models.Architecture(weights="missing.h5"),
                image_shape=SMALL,
                precision="mixed_float16",
            )
        assert keras.config.dtype_policy().name == "mixed_bfloat16"
    finally:
        keras.config.set_dtype_policy(before)


def test_a_frozen_backbone_leaves_only_the_head_to_train(densenet169):
    frozen, _ = densenet169
    assert {layer.name for layer in frozen.layers if layer.trainable_weights} == {"logits"}
    frozen = models.build("vgg19", models.Architecture(train_backbone=False), image_shape=SMALL)
    head = {layer.name for layer in frozen.layers if layer.trainable_weights}
    assert head == {"dense", "logits"}


def test_a_backbone_that_is_not_frozen_is_trained_whole():
    model = models.build("vgg19", models.Architecture(train_backbone=True), image_shape=SMALL)
    assert len(model.trainable_weights) == len(model.weights) == 2 * (16 + 2)


def test_a_frozen_backbone_does_not_look_at_the_statistics_of_the_batch(densenet169):
    frozen, _ = densenet169
    network = keras.Model(frozen.input, frozen.get_layer("logits").output)
    images = radiographs(shape=(32, 32, 1))
    np.testing.assert_allclose(network(images, training=True), network(images), rtol=1e-4)


def test_an_unknown_model_is_refused_with_the_names_of_the_known_ones():
    with pytest.raises(UserError, match="'resnet50'.*lenet, resnet101, vgg19, densenet169"):
        models.build("resnet50")


def test_lenet_takes_no_weights():
    with pytest.raises(
        UserError, match="--weights=imagenet goes with a backbone, not with --model=lenet"
    ):
        models.build("lenet", models.Architecture(weights="imagenet"))


def test_every_weight_of_the_backbone_is_read_from_a_file(vgg19):
    expected, path = vgg19
    model = models.build("vgg19", models.Architecture(weights=str(path)), image_shape=SMALL)
    assert_holds(weights_by_layer(model), expected)


def test_every_weight_of_batch_normalization_is_read_from_a_file(densenet169):
    model, expected = densenet169
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


def test_vgg19_from_random_weights_keeps_the_size_of_its_signals():
    model = models.build("vgg19", models.Architecture(scaling="torch"), image_shape=(64, 64, 1))
    layers = [model.get_layer(name).output for name in ("block1_conv1", "block5_conv4")]
    images = np.random.default_rng(0).integers(0, 256, (2, 64, 64, 1)).astype(np.uint8)
    first, last = (np.std(out) for out in keras.Model(model.input, layers)(images))
    assert 0.1 < last / first < 10  # Of Keras' own draws less than 0.01 is left.


def test_resnet101_from_random_weights_knows_the_statistics_of_its_inputs_after_eighty_batches():
    model = models.build(
        "resnet101", models.Architecture(train_backbone=True, scaling="torch"), image_shape=SMALL
    )
    before, first = (model.get_layer(f"conv1_{name}").output for name in ("conv", "bn"))
    network = keras.Model(model.input, [before, first])
    images = radiographs()
    for _ in range(80):
        inputs, _ = network(images, training=True)
    normalised = network(images, training=False)[1].numpy()
    # Of what it started from, a mean of 0 and a variance of 1, Keras' own momentum would keep 0.45.
    mean, variance = np.mean(inputs, (0, 1, 2)), np.var(inputs, (0, 1, 2))
    expected = (inputs - mean) / np.sqrt(variance + 1.001e-5)
    assert np.abs(normalised - expected).max() < 0.01
