"""Trains toy networks on the devices given by flags, and writes their weights.

Runs in its own process, because TensorFlow's devices are set once per process.
"""

import sys

import keras
import numpy as np

from tests.support import toy
from trainer import hardware
from trainer.data.augment import Augmentation
from trainer.data.input import distribute_batches
from trainer.training.computation import Computation
from trainer.training.engine import Engine
from trainer.training.execution import Execution
from trainer.training.objective import Objective

STEPS = 50
# Network, optimizer, precision and whether XLA compiles it.
CASES = {
    f"{network}_{optimizer}_{precision}_{'xla' if xla else 'plain'}": (
        network, optimizer, precision, xla,
    )
    for network, optimizer, precision, xla in (
        ("small_lenet", "sgd", "float32", False),
        ("small_lenet", "sgd", "float32", True),
        ("small_lenet", "adam", "float32", False),
        ("small_lenet", "adam", "float64", False),
        ("frozen_backbone", "adam", "float32", False),
        ("frozen_backbone", "sgd", "float32", False),
        ("frozen_backbone", "sgd", "float32", True),
    )
}  # fmt: skip
# Adam divides a gradient by its own magnitude. If gradients of raw gray values nearly cancel, it
# amplifies float32's rounding errors arbitrarily, so a bound only holds in float64.
DRIFTS, EXACT = "small_lenet_adam_float32_plain", "small_lenet_adam_float64_plain"
BOUNDED = [case for case in CASES if case != DRIFTS]
RATES = {"small_lenet": 1e-6, "frozen_backbone": 1e-2}


def train(strategy, batch, network, optimizer, precision, xla):
    """Trains with augmentation; returns the weights before and after."""
    keras.utils.set_random_seed(0)
    model = getattr(toy, network)(precision)
    rule = {
        "sgd": lambda: keras.optimizers.SGD(RATES[network], momentum=0.9),
        "adam": lambda: keras.optimizers.Adam(1e-3),
    }[optimizer]()
    first = model.get_weights()
    objective = Objective(4, dtype=precision)
    augmentation = Augmentation(flip=True, rotation=10, shift=0.1, zoom=0.1, contrast=0.2)
    engine = Engine(
        strategy,
        model,
        Computation(rule, objective, augmentation=augmentation),
        execution=Execution(xla=xla),
    )
    batches = distribute_batches(toy.make_examples(103), strategy, batch, augment_seed=3)
    assert engine.train(iter(batches), STEPS).steps == STEPS
    return first, engine.weights()


def main(strategy: str, virtual_devices: str, output: str, batch: str = str(toy.BATCH)) -> None:
    """Trains all cases."""
    devices = hardware.resolve(hardware.Placement(strategy, "float32", "off", int(virtual_devices)))
    arrays = {}
    for case, settings in CASES.items():
        first, last = train(devices.strategy, int(batch), *settings)
        arrays |= {f"{case}/first/{index}": array for index, array in enumerate(first)}
        arrays |= {f"{case}/last/{index}": array for index, array in enumerate(last)}
    np.savez(output, **arrays)


def of_case(arrays, case, when):
    """Returns the weights of a case written by `main`: `when` is first or last."""
    return [arrays[name] for name in arrays if name.startswith(f"{case}/{when}/")]


def bound_of(case):
    """Returns the largest relative difference to one device explained by rounding."""
    return 1e-9 if case == EXACT else 1e-5


if __name__ == "__main__":
    main(*sys.argv[1:])
