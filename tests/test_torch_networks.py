import re

import keras
import numpy as np
import pytest

from benchmarks import MODELS
from trainer import models

torch = pytest.importorskip("torch")
from benchmarks import torch_networks, torch_training  # noqa: E402

SIDE = 64
# Building the others takes seconds.
BACKBONES = [pytest.param(name, marks=pytest.mark.slow) for name in MODELS if name != "lenet"]
KINDS = {
    keras.layers.Conv2D: torch.nn.Conv2d,
    keras.layers.Dense: torch.nn.Linear,
    keras.layers.BatchNormalization: torch.nn.BatchNorm2d,
}


def parameters(network):
    """How many numbers the parameters and the statistics of BatchNorm are, and the trained ones."""
    statistics = [buffer for buffer in network.buffers() if buffer.is_floating_point()]
    weights = list(network.parameters())
    counts = [weight.numel() for weight in weights + statistics]
    return sum(counts), sum(weight.numel() for weight in weights if weight.requires_grad)


def by_stage(layer):
    """Keras lists a shortcut after the convolutions beside it, but numbers it first."""
    return [int(word) if word.isdigit() else word for word in re.split(r"(\d+)", layer.name)]


def copy_weights(model, network):
    layers = sorted(model.layers, key=by_stage) if model.name == "resnet101" else model.layers
    for kind, theirs in KINDS.items():
        ours = [layer for layer in layers if type(layer) is kind]
        modules = [module for module in network.modules() if type(module) is theirs]
        for layer, module in zip(ours, modules, strict=True):
            copy_layer(layer.get_weights(), module)


def copy_layer(arrays, module):
    if isinstance(module, torch.nn.BatchNorm2d):
        tensors = [module.weight, module.bias, module.running_mean, module.running_var]
    else:
        tensors = [module.weight] if module.bias is None else [module.weight, module.bias]
        arrays[0] = np.moveaxis(arrays[0], (-1, -2), (0, 1))
    for array, tensor in zip(arrays, tensors, strict=True):
        assert array.shape == tensor.shape
        tensor.data.copy_(torch.from_numpy(array))


def shake(model):
    """Biases and what BatchNormalization holds are 0 or 1 at first, which would hide mistakes."""
    generator = np.random.default_rng(0)
    for weight in model.weights:
        if len(weight.shape) == 1:
            weight.assign_add(0.1 * generator.random(weight.shape, np.float32))


@pytest.mark.parametrize("train_backbone", [None, True, False])
@pytest.mark.parametrize("name", ["lenet", *BACKBONES])
def test_the_networks_have_the_parameters_of_the_keras_models(name, train_backbone):
    model = models.build(name, models.Architecture(train_backbone=train_backbone))
    trained = sum(int(np.prod(weight.shape)) for weight in model.trainable_weights)
    network = torch_networks.build(name, train_backbone=train_backbone)
    assert parameters(network) == (model.count_params(), trained)


@pytest.mark.parametrize("name", ["lenet", *BACKBONES])
def test_with_the_same_weights_the_logits_are_those_of_keras(name):
    model = models.build(name, image_shape=(SIDE, SIDE, 1))
    shake(model)
    network = torch_networks.build(name, side=SIDE).eval()
    copy_weights(model, network)
    images = np.random.default_rng(1).integers(0, 256, (3, SIDE, SIDE, 1), dtype=np.uint8)
    logits = keras.Model(model.input, model.get_layer("logits").output).predict(images, verbose=0)
    with torch.no_grad():
        found = network(torch.from_numpy(images)).numpy()
    np.testing.assert_allclose(found, logits, rtol=1e-4, atol=1e-4 * np.abs(logits).max())


@pytest.mark.slow
@pytest.mark.parametrize("name", ["resnet101", "vgg19"])
def test_a_step_leaves_a_frozen_backbone_alone(name):
    training = torch_training.Training(name, 2, 2, compiled=False)
    network = training._network
    before = {key: value.clone() for key, value in network.state_dict().items()}
    training.train(1)
    for key, value in network.state_dict().items():
        assert torch.equal(value, before[key]) == key.startswith("backbone."), key
