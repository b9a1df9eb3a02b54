import functools

import keras
import numpy as np
import pytest
import tensorflow as tf

from trainer import models
from trainer.errors import UserError
from trainer.explain.methods import METHODS, AblationCAM, GradCAM

SHAPE = (64, 64, 1)
LAYERS = {
    "lenet": "conv2",
    "resnet101": "conv5_block3_out",
    "vgg19": "block5_conv4",
    "densenet169": "relu",
}
# Building the deepest one takes as long as all the others' tests.
WITH_DEEPEST_SLOW = [
    pytest.param(name, marks=pytest.mark.slow if name == "densenet169" else ()) for name in LAYERS
]
CLOSE = {"atol": 1e-5, "rtol": 0}


def radiographs(count):
    """Smooth, so that feature maps differ over the plane."""
    noise = np.random.default_rng(0).random((count, 4, 4, 1), np.float32)
    return np.asarray(tf.image.resize(255 * noise, SHAPE[:2])).astype(np.uint8)


@functools.cache
def network(name, precision="float32"):
    """A network in float32; one that was trained in another precision as a run would save it."""
    keras.utils.set_random_seed(1)
    model = models.build(name, models.Architecture(scaling="torch"), image_shape=SHAPE)
    if precision != "float32":
        model.set_weights(trained_weights(name, precision))
    return model


def trained_weights(name, precision):
    """The weights after a step in a mixed precision."""
    model = models.build(
        name,
        models.Architecture(scaling="torch", train_backbone=False),
        image_shape=SHAPE,
        precision=precision,
    )
    weights = model.trainable_variables
    with tf.GradientTape() as tape:
        shares = model(radiographs(4), training=True)
        loss = -tf.reduce_mean(tf.math.log(tf.linalg.diag_part(shares) + 1e-6))
    gradients = tape.gradient(loss, [weight.value for weight in weights])
    before = model.get_weights()
    keras.optimizers.SGD(1e-3).apply(gradients, weights)
    after = model.get_weights()
    assert any(np.any(old != new) for old, new in zip(before, after, strict=True))
    return after


@functools.cache
def parts(name, precision="float32"):
    """A network, the feature maps of three images, and its head from `LAYERS` on written out."""
    model = network(name, precision)
    maps = keras.Model(model.input, model.get_layer(LAYERS[name]).output)(radiographs(3)).numpy()

    def dense(layer, x):
        kernel, bias = model.get_layer(layer).get_weights()
        return x @ kernel + bias

    def flatten_and_dense(x):
        return dense("logits", tf.nn.relu(dense("dense", tf.reshape(x, [len(x), -1]))))

    head = {
        "lenet": lambda x: flatten_and_dense(tf.nn.avg_pool2d(x, 2, 2, "VALID")),
        "resnet101": flatten_and_dense,
        "vgg19": lambda x: flatten_and_dense(tf.nn.max_pool2d(x, 2, 2, "VALID")),
        "densenet169": lambda x: dense("logits", tf.reduce_max(x, axis=[1, 2])),
    }[name]
    return model, maps, head


def gradient_of(head, maps, target):
    maps = tf.constant(maps[None])
    with tf.GradientTape() as tape:
        tape.watch(maps)
        logit = head(maps)[0, target]
    return tape.gradient(logit, maps).numpy()[0].astype(np.float64)


def gradcam(head, maps, target):
    """Equations 1 and 2 of the paper."""
    gradient = gradient_of(head, maps, target)
    alphas = [gradient[:, :, k].sum() / gradient[:, :, k].size for k in range(maps.shape[-1])]
    return np.maximum(sum(alpha * maps[:, :, k] for k, alpha in enumerate(alphas)), 0)


def gradcam_plus_plus(head, maps, target):
    """Equations 5, 19 and 20 of the paper, for the score exp(logit) without its own factor."""
    gradient = gradient_of(head, maps, target)
    heatmap = np.zeros(maps.shape[:2])
    for k in range(maps.shape[-1]):
        g = gradient[:, :, k]
        below = 2 * g**2 + maps[:, :, k].sum(dtype=np.float64) * g**3
        alpha = np.divide(g**2, below, out=np.zeros_like(g), where=below != 0)
        heatmap += (alpha * np.maximum(g, 0)).sum() * maps[:, :, k]
    return np.maximum(heatmap, 0)


def hirescam(head, maps, target):
    return np.maximum((gradient_of(head, maps, target) * maps).sum(axis=-1), 0)


def layercam(head, maps, target):
    return np.maximum((np.maximum(gradient_of(head, maps, target), 0) * maps).sum(axis=-1), 0)


def ablationcam(head, maps, target):
    """A loop over the channels, one forward pass each."""
    whole = head(tf.constant(maps[None]))[0, target].numpy()
    heatmap = np.zeros(maps.shape[:2])
    for k in range(maps.shape[-1]):
        ablated = maps.copy()
        ablated[:, :, k] = 0
        heatmap += (whole - head(tf.constant(ablated[None]))[0, target].numpy()) * maps[:, :, k]
    return np.maximum(heatmap, 0)


REFERENCES = {
    "gradcam": gradcam,
    "gradcam++": gradcam_plus_plus,
    "hirescam": hirescam,
    "layercam": layercam,
    "ablationcam": ablationcam,
}


def relative(heatmaps):
    """Heatmaps as shares of the highest heat among them."""
    assert heatmaps.max() > 0, "no heat to compare"
    return heatmaps / heatmaps.max()


def check_against_reference(name, precision, methods):
    model, maps, head = parts(name, precision)
    images, targets = radiographs(3), np.array([0, 3, 1])
    for method in methods:
        pairs = zip(maps, targets, strict=True)
        expected = np.stack([REFERENCES[method](head, *pair) for pair in pairs])
        heatmaps, probabilities = METHODS[method](model)(images, targets)
        assert heatmaps.dtype == np.float32
        np.testing.assert_allclose(
            relative(heatmaps), relative(expected), **CLOSE, err_msg=f"{method} of {name}"
        )
        np.testing.assert_allclose(heatmaps.max(), expected.max(), rtol=1e-4)
        np.testing.assert_allclose(probabilities, tf.nn.softmax(head(tf.constant(maps))), **CLOSE)


GRADIENT_METHODS = ("gradcam", "gradcam++", "hirescam", "layercam")


@functools.cache
def of_lenet(method):
    """A method of LeNet, traced once."""
    return METHODS[method](network("lenet"))


@pytest.mark.parametrize("name", WITH_DEEPEST_SLOW)
def test_grad_cam_is_that_of_an_independent_implementation(name):
    check_against_reference(name, "float32", ["gradcam"])


@pytest.mark.parametrize("name", ["lenet", pytest.param("vgg19", marks=pytest.mark.slow)])
def test_so_are_the_other_methods_and_after_training_in_mixed_precision(name):
    check_against_reference(name, "mixed_bfloat16", GRADIENT_METHODS)


@pytest.mark.slow
@pytest.mark.parametrize("precision", ["float32", "mixed_bfloat16", "mixed_float16"])
@pytest.mark.parametrize("name", LAYERS)
def test_so_is_every_method_of_every_network_after_every_precision(name, precision):
    check_against_reference(name, precision, GRADIENT_METHODS)


@pytest.mark.parametrize("name", ["lenet", pytest.param("vgg19", marks=pytest.mark.slow)])
def test_the_method_without_gradients_ablates_one_channel_after_the_other(name):
    model, maps, head = parts(name)
    expected = np.stack([ablationcam(head, maps[0], 2), ablationcam(head, maps[1], 0)])
    heatmaps, _ = AblationCAM(model)(radiographs(3)[:2], np.array([2, 0]))
    # A weight is the difference of two float32 logits that are nearly the same.
    np.testing.assert_allclose(relative(heatmaps), relative(expected), atol=5e-4, rtol=0)


def test_methods_and_targets_differ():
    images = radiographs(3)
    shown = [
        relative(np.stack([of_lenet(name)(images, [target] * 3)[0] for target in range(4)]))
        for name in METHODS
    ]
    for index, heatmaps in enumerate(shown):
        assert all(np.abs(heatmaps[0] - other).max() > 0.01 for other in heatmaps[1:])
        assert all(np.abs(heatmaps - other).max() > 0.01 for other in shown[:index])


@pytest.mark.parametrize("method", METHODS)
def test_without_targets_the_predicted_class_is_explained(method):
    images = radiographs(5)
    predicted = np.asarray(network("lenet")(images)).argmax(axis=1)
    explain = of_lenet(method)
    np.testing.assert_array_equal(explain(images)[0], explain(images, predicted)[0])


@pytest.mark.parametrize("method", METHODS)
def test_where_nothing_speaks_for_a_class_the_heatmap_is_all_zero(method):
    model = models.build("lenet", image_shape=SHAPE)
    kernel, bias = model.get_layer("logits").get_weights()
    kernel[:, 2] = -np.abs(kernel[:, 2])  # What the dense layer finds can only lower this logit.
    model.get_layer("logits").set_weights([kernel, bias])
    dense_kernel, dense_bias = model.get_layer("dense").get_weights()
    model.get_layer("dense").set_weights([np.abs(dense_kernel), dense_bias])
    heatmaps, _ = METHODS[method](model)(radiographs(2), [2, 2])
    np.testing.assert_array_equal(heatmaps, np.zeros_like(heatmaps))


@pytest.mark.parametrize("name", WITH_DEEPEST_SLOW)
def test_the_last_layer_that_keeps_the_plane_is_explained(name):
    assert GradCAM(network(name)).layer_name == LAYERS[name]


@pytest.mark.parametrize("method", METHODS)
def test_one_weight_a_channel_and_a_dense_layer_over_places_call_for_caution(method):
    cautious = method in ("gradcam", "gradcam++", "ablationcam")
    flattened = of_lenet(method)
    assert bool(flattened.caution) == cautious
    if cautious:
        assert "lenet" in flattened.caution and "--method=hirescam" in flattened.caution


def test_another_layer_can_be_named():
    gradcam = GradCAM(network("vgg19"), "block3_conv2")
    heatmaps, _ = gradcam(radiographs(1))
    assert gradcam.layer_name == "block3_conv2"
    assert heatmaps.shape == (1, 16, 16)  # 64, pooled twice.


def test_a_wrong_layer_is_answered_with_the_right_ones():
    with pytest.raises(UserError, match="--layer=conv9: lenet .* expected one of conv1, conv2$"):
        GradCAM(network("lenet"), "conv9")


@pytest.mark.parametrize("name", ["resnet101", pytest.param("densenet169", marks=pytest.mark.slow)])
def test_a_layer_inside_a_block_is_not_offered(name):
    """Every layer that is offered splits the network in two; those inside a block do not."""
    inside = {"resnet101": "conv4_block7_2_relu", "densenet169": "conv4_block5_1_relu"}[name]
    model = network(name)
    with pytest.raises(UserError, match="cannot be explained there") as error:
        GradCAM(model, inside)
    offered = str(error.value).split("expected one of ")[1].split(", ")
    assert LAYERS[name] in offered and "conv1_relu" in offered
    for layer in offered[::8]:
        keras.Model(model.get_layer(layer).output, model.get_layer("logits").output)
