"""Weights files in the format of the published `*_notop.h5`, and what they hold."""

import h5py
import numpy as np
from keras.src.legacy.saving import legacy_h5_format


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
