"""The program that XLA compiles, as a graph of instructions, and what can be asked of it.

What is read is XLA's protocol buffer, `HloModuleProto` of xla/service/hlo.proto.
"""

import collections
import functools
import math
import re
from collections.abc import Iterable, Iterator
from typing import NamedTuple

import numpy as np
import tensorflow as tf
from tensorflow.compiler.xla import xla_data_pb2
from tensorflow.compiler.xla.service import hlo_pb2
from tensorflow.python.eager.polymorphic_function import compiler_ir

LOW_PRECISION = ("BF16", "F16")
_FLOAT = re.compile(r"B?F\d")
# They exchange data with the host, or may: nothing here needs a custom call before optimization.
_HOST_CALLS = ("custom-call", "infeed", "outfeed", "recv", "send")
# They hand on the elements of an argument, or a part of them.
_HANDING_ON = ("bitcast", "convert", "copy", "get-tuple-element", "reshape", "slice")
_SIZES = {
    **dict.fromkeys(("PRED", "S8", "U8"), 1),
    **dict.fromkeys(("S16", "U16", "F16", "BF16"), 2),
    **dict.fromkeys(("S32", "U32", "F32"), 4),
    **dict.fromkeys(("S64", "U64", "F64", "C64"), 8),
    "C128": 16,
}


class Instruction(NamedTuple):
    """An instruction.

    Attributes:
        computation: number of the computation that it stands in.
        proto: the `HloInstructionProto`.
    """

    computation: int
    proto: hlo_pb2.HloInstructionProto

    @property
    def opcode(self) -> str:
        """Such as `convolution`."""
        return self.proto.opcode

    @property
    def element_type(self) -> str:
        """Such as `F32`; `TUPLE` of several results."""
        return _type_name(self.proto.shape)

    @property
    def num_bytes(self) -> int:
        """Bytes of its result, which must be an array of a type whose size is known."""
        if self.element_type not in _SIZES:
            raise ValueError(f"{self}: the size is known of {', '.join(_SIZES)} alone")
        return math.prod(self.proto.shape.dimensions) * _SIZES[self.element_type]

    def __str__(self) -> str:
        shape = ",".join(map(str, self.proto.shape.dimensions))
        source = self.proto.metadata.op_name
        return f"{self.element_type}[{shape}] {self.opcode} of {source or self.proto.name}"


class Program:
    """A program. Its answers are lists of instructions: what they do can be printed."""

    def __init__(self, serialized: bytes) -> None:
        """Reads a program.

        Args:
            serialized: an `HloModuleProto`.
        """
        module = hlo_pb2.HloModuleProto.FromString(serialized)
        self._roots = {part.id: part.root_id for part in module.computations}
        self._entry = module.entry_computation_id
        self._at = {
            (part.id, proto.id): Instruction(part.id, proto)
            for part in module.computations
            for proto in part.instructions
        }

    @property
    def instructions(self) -> Iterable[Instruction]:
        """All of them, also those whose result nothing needs."""
        return self._at.values()

    @property
    def result(self) -> Instruction:
        """What the program returns."""
        return self._root(self._entry)

    @functools.cached_property
    def live(self) -> list[Instruction]:
        """Those that the program's result needs; XLA removes the others."""
        return self._needed_by(self.result)

    def operands(self, instruction: Instruction) -> list[Instruction]:
        """What an instruction computes with."""
        return [self._at[instruction.computation, at] for at in instruction.proto.operand_ids]

    def products(self) -> list[Instruction]:
        """Live convolutions and dot products."""
        return [one for one in self.live if one.opcode in ("convolution", "dot")]

    def sums(self) -> list[Instruction]:
        """Live sums over a dimension or a window."""
        return [
            one
            for one in self.of_opcode("reduce", "reduce-window")
            for combined in [self._root(one.proto.called_computation_ids[0])]
            if any(part.opcode == "add" for part in self._needed_by(combined))
        ]

    def of_operation(self, *operations: str) -> list[Instruction]:
        """Live instructions that TensorFlow's operations of these types became."""
        return [one for one in self.live if one.proto.metadata.op_type in operations]

    def of_opcode(self, *opcodes: str) -> list[Instruction]:
        """Live instructions of these opcodes."""
        return [one for one in self.live if one.opcode in opcodes]

    def float_types(self, instructions: Iterable[Instruction]) -> set[str]:
        """The floating-point types, such as `F32`, that instructions read and write."""
        shapes = (
            shape
            for one in instructions
            for part in (one, *self.operands(one))
            for shape in _arrays(part.proto.shape)
        )
        return set(filter(_FLOAT.match, map(_type_name, shapes)))

    def in_float64(self) -> list[Instruction]:
        """Instructions that read or write float64."""
        return [one for one in self.instructions if "F64" in self.float_types([one])]

    def host_calls(self) -> list[Instruction]:
        """Instructions that exchange data with the host, or may."""
        return [one for one in self.instructions if one.opcode in _HOST_CALLS]

    def dynamic(self) -> list[Instruction]:
        """Instructions with a dimension whose size is not known before the program runs."""
        return [
            one
            for one in self.instructions
            if any(any(shape.is_dynamic_dimension) for shape in _arrays(one.proto.shape))
        ]

    def casts(self) -> dict[tuple, list[Instruction]]:
        """Live casts of arguments to a low precision, for each part of an argument."""
        found = collections.defaultdict(list)
        for one in self.live:
            if one.opcode == "convert" and one.element_type in LOW_PRECISION:
                if part := self._part_of_argument(one):
                    found[part].append(one)
        return dict(found)

    def transposes(self) -> list[Instruction]:
        """Live transpositions beside a convolution or dot product, with a cast or so between."""
        users = collections.defaultdict(list)
        for one in self.live:
            for operand in self.operands(one):
                users[id(operand)].append(one)
        found = {}
        for beside in (self.operands, lambda one: users[id(one)]):
            waiting = [one for product in self.products() for one in beside(product)]
            while waiting:
                one = waiting.pop()
                if _reorders(one):
                    found[id(one)] = one
                elif one.opcode in ("transpose", *_HANDING_ON):
                    waiting += beside(one)
        return list(found.values())

    def flops(self) -> int:
        """Operations of the products; a multiplication and an addition are two.

        Counted as XLA's `HloCostAnalysis` does, which TensorFlow has no interface to: a kernel's
        positions in the padding, or in the gaps of a dilated input, do not count.
        """
        return sum(2 * self._multiplications(product) for product in self.products())

    def product_bytes(self) -> int:
        """Bytes that the products read and write, each by itself."""
        return sum(
            array.num_bytes
            for product in self.products()
            for array in (product, *self.operands(product))
        )

    def _needed_by(self, result: Instruction) -> list[Instruction]:
        waiting, found = [result], {}
        while waiting:
            one = waiting.pop()
            if id(one) not in found:
                found[id(one)] = one
                waiting += self.operands(one)
                waiting += map(self._root, one.proto.called_computation_ids)
        return list(found.values())

    def _root(self, computation: int) -> Instruction:
        return self._at[computation, self._roots[computation]]

    def _part_of_argument(self, instruction: Instruction) -> tuple | None:
        part: list = []
        while instruction.opcode in _HANDING_ON:
            part += [(cut.start, cut.limit) for cut in instruction.proto.slice_dimensions]
            if instruction.opcode == "get-tuple-element":
                part.append(instruction.proto.tuple_index)
            instruction = self.operands(instruction)[0]
        if instruction.opcode != "parameter":
            return None
        return instruction.computation, instruction.proto.parameter_number, *part

    def _multiplications(self, product: Instruction) -> int:
        left, right = (one.proto.shape.dimensions for one in self.operands(product))
        if product.opcode == "dot":
            summed = product.proto.dot_dimension_numbers.lhs_contracting_dimensions
            return math.prod([*product.proto.shape.dimensions, *(left[at] for at in summed)])
        numbers = product.proto.convolution_dimension_numbers
        positions = [
            _positions_inside(left[at], window)
            for at, window in zip(
                numbers.input_spatial_dimensions, product.proto.window.dimensions, strict=True
            )
        ]
        features = (numbers.kernel_input_feature_dimension, numbers.kernel_output_feature_dimension)
        return math.prod(
            [*positions, left[numbers.input_batch_dimension], *(right[at] for at in features)]
        )


def read_program(
    function: tf.types.experimental.ConcreteFunction,
    *,
    platform: str | None = "GPU",
    optimized: bool = False,
) -> Program:
    """Has TensorFlow translate a function for XLA.

    Args:
        function: one that XLA is to compile.
        platform: what it is translated for; such a device need not be there. None: this processor.
            For it alone XLA optimizes here, and functions with variables are translated.
        optimized: whether XLA has compiled it.
    """
    stage = "optimized_hlo_serialized" if optimized else "hlo_serialized"
    with tf.device("/cpu:0"):  # Else None would mean a GPU where there is one.
        return Program(
            compiler_ir.from_concrete_function(function)(stage=stage, platform_name=platform)
        )


def _arrays(shape: xla_data_pb2.ShapeProto) -> Iterator[xla_data_pb2.ShapeProto]:
    """The shapes of the arrays in a tuple, or of an array."""
    if not shape.tuple_shapes:
        yield shape
    for part in shape.tuple_shapes:
        yield from _arrays(part)


def _type_name(shape: xla_data_pb2.ShapeProto) -> str:
    return xla_data_pb2.PrimitiveType.Name(shape.element_type)


def _reorders(instruction: Instruction) -> bool:
    """Whether it is a transposition that moves elements: dimensions of size 1 have one place."""
    if instruction.opcode != "transpose":
        return False
    shape, moved = instruction.proto.shape.dimensions, instruction.proto.dimensions
    moved = [source for source, size in zip(moved, shape, strict=True) if size > 1]
    return moved != sorted(moved)


def _positions_inside(size: int, window: xla_data_pb2.WindowDimension) -> int:
    """How often a kernel's positions meet an element of the input, over all outputs of a dimension.

    Args:
        size: of the input's dimension.
        window: the `WindowDimension`.
    """
    dilated = (size - 1) * window.base_dilation + 1
    kernel = np.arange(window.size) * window.window_dilation - window.padding_low
    last = dilated + window.padding_high - 1 - kernel[-1]
    places = np.arange(0, last + 1, window.stride)[:, None] + kernel
    inside = (places >= 0) & (places < dilated) & (places % window.base_dilation == 0)
    return int(np.count_nonzero(inside))
