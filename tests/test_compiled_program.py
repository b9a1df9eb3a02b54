"""What XLA compiles of a training step, read on a machine without a GPU.

Three stages, each of which proves something else:

- Translated for GPUs, before XLA optimizes it (`hlo` of the platform GPU): the program that XLA
  begins with on a GPU. All properties of the step are read here.
- Translated for this processor (`hlo`): the update. TensorFlow translates a function with
  variables for no device but theirs.
- Compiled for this processor (`optimized_hlo`): XLA's passes bring in no float64, no call of the
  host and no dynamic shape, and leave the operations as many. Neither precision nor casts nor
  transposes can be read here: this processor's XLA multiplies low precision in float32
  (`tests/test_hlo.py`) and in an order of its own.
"""

import collections
from typing import NamedTuple

import keras
import numpy as np
import pytest
import tensorflow as tf

from benchmarks import MODELS
from benchmarks.compiled_program import PRECISIONS, compiled_parts
from benchmarks.hlo import LOW_PRECISION, Program, read_program
from trainer.models.taps import LOGITS
from trainer.training import step as training_step

SIZES = {"batch_size": 2, "image_size": 64}
TYPES = dict(zip(PRECISIONS, ("F32", *LOW_PRECISION), strict=True))
# LeNet is small, and ResNet-101 has all that the others have.
QUICK = [*(("lenet", precision) for precision in PRECISIONS), ("resnet101", "mixed_bfloat16")]
PRODUCTS = (keras.layers.Conv2D, keras.layers.Dense)
LOSSES = ("SoftmaxCrossEntropyWithLogits", "SparseSoftmaxCrossEntropyWithLogits")


class Trained(NamedTuple):
    """A network in a precision: its layers, what XLA compiles, the step as a GPU is given it."""

    precision: str
    layers: list
    functions: list
    step: Program

    def layers_of(self, *kinds):
        return [layer for layer in self.layers if isinstance(layer, kinds)]


# Of the module, so that pytest asks all about one network before it makes the next.
@pytest.fixture(
    scope="module",
    params=[
        pytest.param(
            (name, precision),
            id=f"{name}-{precision}",
            marks=() if (name, precision) in QUICK else pytest.mark.slow,
        )
        for name in MODELS
        for precision in PRECISIONS
    ],
)
def trained(request):
    engine, functions = compiled_parts(*request.param, **SIZES)
    return Trained(request.param[1], engine.model.layers, functions, read_program(functions[0]))


def test_xla_has_to_compile_the_step_and_the_update(trained):
    for function in trained.functions:
        assert function.function_def.attr["_XlaMustCompile"].b


def test_each_layer_is_three_products_in_its_precision(trained):
    """Forward, and the gradients of weights and inputs; that of the images is needed by none."""
    low, expected = TYPES[trained.precision], collections.Counter()
    for layer in trained.layers_of(*PRODUCTS):
        opcode = "convolution" if isinstance(layer, keras.layers.Conv2D) else "dot"
        expected[opcode, "F32" if layer.name == LOGITS else low] += 3
    expected["convolution", low] -= 1
    program = trained.step
    found = [(one.opcode, *program.float_types([one])) for one in program.products()]
    assert collections.Counter(found) == expected


def test_each_weight_is_cast_once(trained):
    casts = trained.step.casts()
    cast = [
        weight
        for layer in trained.layers_of(*PRODUCTS)
        for weight in layer.weights
        if layer.compute_dtype != "float32"
    ]
    assert len(casts) == len(cast)
    assert {len(of_weight) for of_weight in casts.values()} <= {1}


def test_no_convolution_needs_a_transpose(trained):
    assert trained.step.transposes() == []


def test_what_needs_digits_is_in_float32(trained):
    program = trained.step
    loss = program.of_operation(*LOSSES)
    normalizations = program.of_opcode("batch-norm-training", "batch-norm-grad")
    assert len(normalizations) == 2 * len(trained.layers_of(keras.layers.BatchNormalization))
    assert {"exponential", "log"} <= {one.opcode for one in loss}
    for instructions in (loss, normalizations, program.sums(), program.of_opcode("exponential")):
        assert program.float_types(instructions) <= {"F32"}
    assert program.float_types([program.result]) == {"F32"}


def test_there_is_no_float64_no_call_of_the_host_and_no_dynamic_shape(trained):
    program = trained.step
    assert program.in_float64() == program.host_calls() == program.dynamic() == []


def test_the_update_is_in_float32_and_calls_nobody(trained):
    program = read_program(trained.functions[1], platform=None)
    assert program.products() == program.host_calls() == program.dynamic() == []
    assert program.float_types(program.instructions) == {"F32"}


def test_operations_are_those_of_the_layers(trained):
    """Each multiplication of the forward pass has one in either gradient."""
    counts = [multiplications(layer) for layer in trained.layers_of(*PRODUCTS)]
    assert trained.step.flops() == 2 * SIZES["batch_size"] * (3 * sum(counts) - counts[0])


def multiplications(layer):
    """Of one image: of ones, each adds one to the sum of the result."""
    *kernel, inputs, outputs = layer.kernel.shape
    if not kernel:
        return inputs * outputs
    image = np.ones([1, *layer.input.shape[1:3], 1])
    met = keras.ops.conv(image, np.ones([*kernel, 1, 1]), layer.strides, layer.padding)
    return int(keras.ops.sum(met)) * inputs * outputs


@pytest.mark.parametrize(
    "name",
    [pytest.param(name, marks=pytest.mark.slow if name != "lenet" else ()) for name in MODELS],
)
def test_compiling_brings_in_none_of_these(name):
    _, (function, _) = compiled_parts(name, "mixed_bfloat16", **SIZES)
    program = read_program(function, platform=None, optimized=True)
    assert program.in_float64() == program.host_calls() == program.dynamic() == []
    assert program.flops() == read_program(function).flops()


def test_faults_of_the_step_are_found(monkeypatch):
    network = training_step.training_network

    def faulty(model, start):
        def call(images, draws):
            logits = network(model, start)(images, draws) + network(model, start)(images, draws)
            return tf.cast(tf.cast(logits, tf.float64), tf.float32)

        return call

    monkeypatch.setattr(training_step, "training_network", faulty)
    _, (function, _) = compiled_parts("lenet", "mixed_bfloat16", **SIZES)
    program = read_program(function)
    assert program.in_float64()
    assert {len(of_weight) for of_weight in program.casts().values()} == {2}
