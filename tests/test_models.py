import subprocess
import sys

import keras
import numpy as np
import pytest
import scipy.special

from tests.support.legacy_weights import (
    assert_holds,
    network_without_top,
    weights_by_layer,
    write_legacy_weights,
)
from trainer import models
from trainer.errors import UserError

SMALL = (64, 64, 1)


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


def test_every_weight_of_batch_normalization_is_read_from_a_file(densenet169):
    model, expected = densenet169
    assert_holds(weights_by_layer(model), expected)


def test_a_second_network_has_layers_and_a_precision_of_its_own(densenet169):
    first, _ = densenet169
    second = models.build("densenet169", image_shape=(32, 32, 1), precision="mixed_bfloat16")
    assert not set(map(id, first.layers)) & set(map(id, second.layers))
    pooled = [one for one in second.layers if isinstance(one, keras.layers.GlobalMaxPooling2D)]
    assert [layer.compute_dtype for layer in pooled] == ["bfloat16"]


def test_an_unknown_model_is_refused_with_the_names_of_the_known_ones():
    with pytest.raises(UserError, match="'resnet50'.*lenet, resnet101, vgg19, densenet169"):
        models.build("resnet50")


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
