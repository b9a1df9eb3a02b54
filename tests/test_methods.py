import functools

import keras
import numpy as np
import pytest
import tensorflow as tf

from trainer import models
from trainer.explain.methods import GradCAM

SHAPE = (64, 64, 1)


def radiographs(count):
    """Smooth, so that feature maps differ over the plane."""
    noise = np.random.default_rng(0).random((count, 4, 4, 1), np.float32)
    return np.asarray(tf.image.resize(255 * noise, SHAPE[:2])).astype(np.uint8)


def reference(features, head, targets):
    """Grad-CAM as Selvaraju et al. 2017 write it, equations 1 and 2, one image at a time."""
    heatmaps = []
    for maps, target in zip(features, targets, strict=True):
        maps = tf.constant(maps[None])
        with tf.GradientTape() as tape:
            tape.watch(maps)
            score = head(maps)[0, target]
        gradient = tape.gradient(score, maps).numpy()[0]
        height, width, channels = gradient.shape
        heatmap = np.zeros((height, width))
        for channel in range(channels):
            alpha = gradient[:, :, channel].sum() / (height * width)
            heatmap += alpha * maps.numpy()[0, :, :, channel]
        heatmaps.append(np.maximum(heatmap, 0))
    return np.stack(heatmaps)


def dense(model, name, x, activation=tf.identity):
    kernel, bias = model.get_layer(name).get_weights()
    return activation(x @ kernel + bias)


def convolution(model, name, x):
    kernel, bias = model.get_layer(name).get_weights()
    return tf.nn.relu(tf.nn.conv2d(x, kernel, 1, "VALID") + bias)


def lenet_parts():
    """LeNet, and its feature maps and its head written out with TensorFlow's operations."""
    model = models.build("lenet", image_shape=SHAPE)

    def features(images):
        x = tf.tile(tf.cast(images, tf.float32), [1, 1, 1, 3])
        x = tf.nn.avg_pool2d(convolution(model, "conv1", x), 2, 2, "VALID")
        return convolution(model, "conv2", x)

    def head(maps):
        x = tf.reshape(tf.nn.avg_pool2d(maps, 2, 2, "VALID"), [len(maps), -1])
        return dense(model, "logits", dense(model, "dense", x, tf.nn.relu))

    return model, features, head


def vgg19_parts():
    """A frozen VGG-19, its feature maps, and its head written out."""
    model = models.build("vgg19", image_shape=SHAPE, train_backbone=False)
    features = keras.Model(model.input, model.get_layer("block5_conv4").output)

    def head(maps):
        x = tf.reshape(tf.nn.max_pool2d(maps, 2, 2, "VALID"), [len(maps), -1])
        return dense(model, "logits", dense(model, "dense", x, tf.nn.relu))

    return model, features, head


@functools.cache
def parts(name):
    keras.utils.set_random_seed(0)
    return {"lenet": lenet_parts, "vgg19": vgg19_parts}[name]()


@pytest.mark.parametrize("name", ["lenet", "vgg19"])
def test_a_heatmap_is_that_of_the_paper_for_the_class_asked_for_of_each_image(name):
    model, features, head = parts(name)
    images = radiographs(2)[[0, 0, 0, 0, 1, 1]]
    targets = np.array([0, 1, 2, 3, 3, 0])
    maps = features(images).numpy()
    expected = reference(maps, head, targets)
    assert np.count_nonzero(expected.max(axis=(1, 2))) >= 3, "hardly any heatmap to compare"
    assert np.abs(expected[0] - expected[3]).max() > 0.01 * expected.max(), "targets do not matter"
    heatmaps, probabilities = GradCAM(model)(images, targets)
    assert heatmaps.dtype == np.float32
    np.testing.assert_allclose(heatmaps, expected, atol=1e-5 * expected.max(), rtol=1e-4)
    np.testing.assert_allclose(probabilities, tf.nn.softmax(head(tf.constant(maps))), atol=1e-5)


@pytest.mark.parametrize("name", ["lenet", "vgg19"])
def test_without_targets_the_predicted_class_is_explained(name):
    model, _, _ = parts(name)
    images = radiographs(5)
    predicted = np.asarray(model(images)).argmax(axis=1)
    gradcam = GradCAM(model)
    np.testing.assert_array_equal(gradcam(images, None)[0], gradcam(images, predicted)[0])


@pytest.mark.parametrize(
    ("name", "layer"),
    [
        ("lenet", "conv2"),
        ("resnet101", "conv5_block3_out"),
        ("vgg19", "block5_conv4"),
        ("densenet169", "relu"),
    ],
)
def test_the_last_layer_that_keeps_the_plane_is_explained(name, layer):
    model = parts(name)[0] if name in ("lenet", "vgg19") else models.build(name, image_shape=SHAPE)
    assert GradCAM(model).layer_name == layer
