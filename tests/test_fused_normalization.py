import keras
import numpy as np
import pytest
import tensorflow as tf

from trainer import models
from trainer.models.fused_normalization import FusedBatchNormalization, fuse_normalization

SIZE = 32


def network(precision="float32", **settings):
    keras.utils.set_random_seed(0)
    inputs = keras.Input((9, 7, 5))
    x = keras.layers.Conv2D(6, 3, use_bias=False, dtype=precision)(inputs)
    x = keras.layers.BatchNormalization(dtype=precision, **settings)(x)
    return keras.Model(inputs, keras.layers.Activation("relu", dtype="float32")(x))


def step(model, images, jit_compile):
    """Output, gradients and weights after one training pass."""

    @tf.function(jit_compile=jit_compile)
    def passes(batch):
        with tf.GradientTape() as tape:
            outputs = model(batch, training=True)
            loss = tf.reduce_sum(outputs * tf.cos(tf.range(6.0)))
        return outputs, tape.gradient(loss, model.trainable_variables)

    outputs, gradients = passes(images)
    return outputs, gradients, model.get_weights()


@pytest.mark.parametrize("jit_compile", [False, True])
@pytest.mark.parametrize(("precision", "tolerance"), [("float32", 1e-5), ("mixed_bfloat16", 0.1)])
@pytest.mark.parametrize("rows", [1, 4])
def test_a_pass_is_that_of_keras_layer(jit_compile, precision, tolerance, rows):
    plain = network(precision, momentum=0.7, epsilon=0.01)
    fused = fuse_normalization(plain)
    assert [type(layer) for layer in fused.layers].count(FusedBatchNormalization) == 1
    images = np.random.default_rng(0).normal(2.0, 3.0, (rows, 9, 7, 5)).astype(np.float32)
    for found, expected in zip(
        step(fused, images, jit_compile), step(plain, images, jit_compile), strict=True
    ):
        for ours, theirs in zip(tf.nest.flatten(found), tf.nest.flatten(expected), strict=True):
            scale = np.abs(theirs).max()
            np.testing.assert_allclose(ours, theirs, rtol=tolerance, atol=tolerance * scale)


def test_the_statistics_are_those_of_numpy():
    fused = fuse_normalization(network(momentum=0.5))
    images = np.random.default_rng(0).normal(2.0, 3.0, (2, 9, 7, 5)).astype(np.float32)
    maps = fused.layers[1](images).numpy()
    fused(images, training=True)
    layer = fused.layers[2]
    np.testing.assert_allclose(layer.moving_mean, maps.mean(axis=(0, 1, 2)) / 2, rtol=1e-5)
    np.testing.assert_allclose(layer.moving_variance, maps.var(axis=(0, 1, 2)) / 2 + 0.5, rtol=1e-5)


@pytest.mark.parametrize("training", [False, True])
def test_a_frozen_layer_keeps_its_statistics(training):
    plain = network()
    fused = fuse_normalization(plain)
    for model in (plain, fused):
        model.layers[2].trainable = False
        model.layers[2].moving_mean.assign(tf.range(6.0))
    images = np.random.default_rng(0).normal(2.0, 3.0, (2, 9, 7, 5)).astype(np.float32)
    np.testing.assert_allclose(fused(images, training=training), plain(images), rtol=1e-5)
    np.testing.assert_array_equal(fused.layers[2].moving_mean, np.arange(6))


@pytest.mark.parametrize("name", ["resnet101", "densenet169"])
def test_the_weights_of_a_fused_network_fit_the_network_that_is_saved(name):
    saved = models.build(
        name, models.Architecture(train_backbone=True), image_shape=(SIZE, SIZE, 1)
    )
    fused = fuse_normalization(saved)
    assert [w.path for w in fused.weights] == [w.path for w in saved.weights]
    assert [w.trainable for w in fused.weights] == [w.trainable for w in saved.weights]
    assert not any(type(layer) is keras.layers.BatchNormalization for layer in fused.layers)
    images = np.random.default_rng(0).integers(0, 256, (2, SIZE, SIZE, 1)).astype(np.uint8)
    np.testing.assert_array_equal(fused.predict(images, verbose=0), saved(images))


@pytest.mark.parametrize("settings", [{"scale": False}, {"center": False}, {"axis": 1}])
def test_what_the_operation_cannot_do_is_left_to_keras(settings):
    plain = network(**settings)
    assert fuse_normalization(plain) is plain


@pytest.mark.parametrize("name", ["lenet", "vgg19"])
def test_a_network_without_normalization_stays_itself(name):
    plain = models.build(name, image_shape=(SIZE, SIZE, 1))
    assert fuse_normalization(plain) is plain
