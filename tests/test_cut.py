import keras
import numpy as np
import pytest

from trainer import models
from trainer.models.cut import frozen_part, weights_digest


def behind(backbone, model):
    return keras.Model(backbone.output, model.get_layer("logits").output)


@pytest.mark.parametrize(
    ("name", "width"),
    [
        ("vgg19", 7 * 7 * 512),
        pytest.param("resnet101", 7 * 7 * 2048, marks=pytest.mark.slow),
        pytest.param("densenet169", 1664, marks=pytest.mark.slow),
    ],
)
def test_features_are_what_the_first_trained_layer_takes(name, width):
    model = models.build(name, models.Architecture(train_backbone=False))
    backbone = frozen_part(model)
    head = behind(backbone, model)
    assert backbone.output.shape == (None, width)
    shared = [id(weight) for part in (backbone, head) for weight in part.weights]
    assert sorted(shared) == sorted(id(weight) for weight in model.weights)
    assert not backbone.trainable_weights
    assert len(head.trainable_weights) == len(model.trainable_weights)


def small_network():
    """A network of the names that `backbone_layers` goes by, with dropout behind its pooling."""
    inputs = keras.Input((8, 8, 1))
    x = keras.layers.Rescaling(0.1, name="scaling")(inputs)
    x = keras.layers.Conv2D(3, 3, name="conv", trainable=False)(x)
    x = keras.layers.Flatten(name="flatten")(x)
    x = keras.layers.Dropout(0.5, name="dropout")(x)
    logits = keras.layers.Dense(4, name="logits")(x)
    return keras.Model(inputs, keras.layers.Softmax()(logits), name="vgg19")


def test_both_parts_one_after_the_other_are_the_whole():
    model = small_network()
    backbone = frozen_part(model)
    images = np.random.default_rng(0).normal(size=(5, 8, 8, 1)).astype(np.float32)
    whole = keras.Model(model.input, model.get_layer("logits").output)
    np.testing.assert_allclose(behind(backbone, model)(backbone(images)), whole(images), rtol=1e-6)


def test_what_draws_at_random_stays_with_the_head():
    model = small_network()
    head = behind(frozen_part(model), model)
    assert "dropout" in [layer.name for layer in head.layers]


def test_the_digest_changes_with_any_weight():
    backbone = frozen_part(small_network())
    before = weights_digest(backbone)
    assert weights_digest(backbone) == before
    kernel = backbone.get_layer("conv").kernel
    changed = kernel.numpy()
    changed[0, 0, 0, 0] = np.nextafter(changed[0, 0, 0, 0], np.float32(np.inf))
    kernel.assign(changed)
    assert weights_digest(backbone) != before
