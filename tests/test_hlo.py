"""Every question to a program, asked of a tiny one that has what is asked for, and of one without.

`tests/test_compiled_program.py` asks the same of the training steps.
"""

import numpy as np
import pytest
import tensorflow as tf
from tensorflow.compiler.tf2xla.python import xla
from tensorflow.compiler.xla import xla_data_pb2
from tensorflow.compiler.xla.service import hlo_pb2

from benchmarks.hlo import Instruction, Program, read_program

VECTOR = tf.TensorSpec([4], tf.float32)
SQUARE = tf.TensorSpec([3, 3], tf.float32)


def program(function, *specs, **options):
    traced = tf.function(function, jit_compile=True).get_concrete_function(*specs)
    return read_program(traced, **options)


@pytest.mark.parametrize(
    "dtype, name, size", [(tf.float32, "F32", 4), (tf.bfloat16, "BF16", 2), (tf.float16, "F16", 2)]
)
def test_a_convolution_of_two_by_two(dtype, name, size):
    specs = tf.TensorSpec([1, 3, 3, 1], dtype), tf.TensorSpec([2, 2, 1, 1], dtype)
    found = program(lambda image, kernel: tf.nn.conv2d(image, kernel, 1, "VALID"), *specs)
    assert [one.opcode for one in found.products()] == ["convolution"]
    assert found.float_types(found.products()) == {name}
    assert found.flops() == 2 * 4 * 4
    assert found.product_bytes() == (9 + 4 + 4) * size


def test_a_dot_product_in_bfloat16():
    specs = tf.TensorSpec([2, 3], tf.bfloat16), tf.TensorSpec([3, 5], tf.bfloat16)
    found = program(lambda left, right: left @ right, *specs)
    assert found.float_types(found.products()) == {"BF16"}
    assert found.flops() == 2 * 2 * 3 * 5
    assert found.product_bytes() == (6 + 15 + 10) * 2


@pytest.mark.parametrize(
    "dtype",
    ["bool", "int8", "uint8", "int16", "uint16", "int32", "uint32", "int64", "uint64",
     "float16", "bfloat16", "float32", "float64", "complex64", "complex128"],
)  # fmt: skip
def test_bytes_of_every_type_are_tensorflows(dtype):
    found = program(lambda x: x, tf.TensorSpec([3, 5], dtype))
    (argument,) = found.of_opcode("parameter")
    assert argument.num_bytes == 15 * tf.as_dtype(dtype).size


def test_a_type_of_unknown_size_is_named_and_not_guessed():
    shape = {"element_type": xla_data_pb2.F8E5M2, "dimensions": [4]}
    one = Instruction(0, hlo_pb2.HloInstructionProto(opcode="copy", shape=shape))
    with pytest.raises(ValueError, match=r"^F8E5M2\[4\] copy .*: the size is known of PRED, "):
        _ = one.num_bytes
    assert Program(b"").float_types([one]) == {"F8E5M2"}


@pytest.mark.parametrize("padding", ["SAME", "VALID"])
@pytest.mark.parametrize("stride, dilation", [(1, 1), (2, 1), (3, 1), (1, 2)])
def test_operations_of_a_convolution_and_its_gradients(stride, dilation, padding):
    # Of ones, every multiplication adds one to the sum of the result.
    image, kernel = tf.ones([2, 9, 8, 3]), tf.ones([3, 2, 3, 5])

    def convolve(image, kernel):
        return tf.nn.conv2d(image, kernel, stride, padding, dilations=dilation)

    def gradient(of):
        def function(image, kernel):
            with tf.GradientTape() as tape:
                tape.watch([image, kernel])
                result = convolve(image, kernel)
            return tape.gradient(result, [image, kernel][of])

        return function

    for function in (convolve, gradient(0), gradient(1)):
        found = program(function, *map(tf.TensorSpec.from_tensor, (image, kernel)))
        assert len(found.products()) == 1
        assert found.flops() == 2 * np.sum(function(image, kernel))


def test_what_nothing_needs_is_not_counted():
    def one_of_two(square):
        _, kept = square @ square, tf.stop_gradient(square) @ (square + 1)
        return kept

    assert program(one_of_two, SQUARE).flops() == 2 * 27


def test_float64_is_found():
    def add(vector):
        return tf.cast(tf.cast(vector, tf.float64) + 1, tf.float32)

    assert "add" in [one.opcode for one in program(add, VECTOR).in_float64()]
    assert program(lambda vector: vector + 1, VECTOR).in_float64() == []


def test_a_call_of_the_host_is_found():
    def call(vector):
        return xla.custom_call_v2("callback", [vector], [VECTOR])

    assert [one.opcode for one in program(call, VECTOR).host_calls()] == ["custom-call"]
    assert program(lambda vector: vector + 1, VECTOR).host_calls() == []


def test_a_function_of_python_is_not_compiled_at_all():
    with pytest.raises(ValueError, match="No registered 'EagerPyFunc'"):
        program(lambda vector: tf.py_function(abs, [vector], tf.float32), VECTOR)


def test_a_shape_that_depends_on_values_is_found():
    def positive(vector):
        return tf.reduce_sum(tf.boolean_mask(vector, vector > 0))

    assert program(positive, VECTOR).dynamic()
    assert program(lambda vector: tf.reduce_sum(tf.nn.relu(vector)), VECTOR).dynamic() == []


@pytest.mark.parametrize("casts", [1, 2])
def test_casts_of_a_weight_are_counted(casts):
    def use_twice(vector, inputs):
        kernel, bias = tf.split(vector, [9, 3])
        low = [tf.cast(tf.reshape(kernel, [3, 3]), tf.bfloat16) for _ in range(casts)]
        hidden = tf.nn.relu(inputs @ low[0]) @ low[-1]
        return hidden + tf.cast(bias, tf.bfloat16)

    specs = tf.TensorSpec([12], tf.float32), tf.TensorSpec([2, 3], tf.bfloat16)
    counts = [len(of_part) for of_part in program(use_twice, *specs).casts().values()]
    assert sorted(counts) == [1, casts]


def test_transposes_beside_convolutions_are_found():
    images, kernel = (
        tf.TensorSpec([2, 3, 8, 8], tf.float32),
        tf.TensorSpec([2, 2, 3, 5], tf.float32),
    )

    def channels_first(images, kernel):
        result = tf.nn.conv2d(tf.transpose(images, [0, 2, 3, 1]), kernel, 1, "VALID")
        return tf.transpose(tf.cast(result, tf.bfloat16), [0, 3, 1, 2])

    def elsewhere(images, kernel):
        result = tf.nn.conv2d(tf.reshape(images, [2, 8, 8, 3]), kernel, 1, "VALID")
        # The first keeps the order of the elements; the second is beside an addition.
        return tf.transpose(tf.transpose(result[:, :1], [1, 0, 2, 3]) + 1, [0, 3, 1, 2])

    assert len(program(channels_first, images, kernel).transposes()) == 2
    assert program(elsewhere, images, kernel).transposes() == []


def test_sums_and_exponentials_tell_their_precision():
    low, scalar = (tf.TensorSpec(shape, tf.bfloat16) for shape in ([2, 4], []))
    add = tf.function(lambda one, other: one + other).get_concrete_function(scalar, scalar)
    softmax = program(lambda values: tf.nn.softmax(values), low)
    careless = program(lambda values: xla.reduce(values, values[0, 0], [1], add), low)
    assert softmax.float_types(softmax.of_opcode("exponential")) == {"BF16"}
    # TensorFlow's own sums are in float32, whatever they sum.
    for found, expected in ((softmax, "F32"), (careless, "BF16")):
        assert len(found.sums()) == 1
        assert found.float_types(found.sums()) == {expected}


def test_instructions_are_found_by_the_operation_that_they_come_from():
    found = program(lambda vector: tf.nn.softmax(vector) + tf.sin(vector), VECTOR)
    assert [one.opcode for one in found.of_operation("Sin")] == ["sine"]


def test_a_processor_multiplies_low_precision_in_float32():
    """Why precision is read before XLA optimizes, and what it has optimized says nothing of it."""
    spec = tf.TensorSpec([4, 4], tf.bfloat16)
    found = program(lambda left, right: left @ right, spec, spec, platform=None, optimized=True)
    assert found.float_types(found.products()) == {"F32"}
    assert found.flops() == 2 * 64
