"""Queries on the program that XLA compiles, as a graph of instructions.

The input is XLA's protocol buffer, `HloModuleProto` of xla/service/hlo.proto.
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
# They may exchange data with the host: no custom call is expected before optimization.
_HOST_CALLS = ("custom-call", "infeed", "outfeed", "recv", "send")
# They pass on all or some elements of an operand unchanged.
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
        computation: number of its computation.
        proto: the `HloInstructionProto`.
    """

    computation: int
    proto: hlo_pb2.HloInstructionProto

    @property
    def opcode(self) -> str:
        """Opcode, such as `convolution`."""
        return self.proto.opcode

    @property
    def element_type(self) -> str:
        """Element type, such as `F32`; `TUPLE` for several results."""
        return _type_name(self.proto.shape)

    @property
    def num_bytes(self) -> int:
        """Size of its result in bytes, which must be an array with a known element size."""
        if self.element_type not in _SIZES:
            raise ValueError(f"{self}: the size is known of {', '.join(_SIZES)} alone")
        return math.prod(self.proto.shape.dimensions) * _SIZES[self.element_type]

    def __str__(self) -> str:
        shape = ",".join(map(str, self.proto.shape.dimensions))
        source = self.proto.metadata.op_name
        return f"{self.element_type}[{shape}] {self.opcode} of {source or self.proto.name}"


class Program:
    """A program. Queries return lists of printable instructions."""

    def __init__(self, serialized: bytes) -> None:
        """Parses a program.

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
        """All instructions, including those with unused results."""
        return self._at.values()

    @property
    def result(self) -> Instruction:
        """The root instruction."""
        return self._root(self._entry)

    @functools.cached_property
    def live(self) -> list[Instruction]:
        """Instructions needed for the program's result; XLA removes the others."""
        return self._needed_by(self.result)

    def operands(self, instruction: Instruction) -> list[Instruction]:
        """Returns the operands of an instruction."""
        return [self._at[instruction.computation, at] for at in instruction.proto.operand_ids]

    def products(self) -> list[Instruction]:
        """Returns live convolutions and dot products."""
        return [one for one in self.live if one.opcode in ("convolution", "dot")]

    def sums(self) -> list[Instruction]:
        """Returns live sums over a dimension or a window."""
        return [
            one
            for one in self.of_opcode("reduce", "reduce-window")
            for combined in [self._root(one.proto.called_computation_ids[0])]
            if any(part.opcode == "add" for part in self._needed_by(combined))
        ]

    def of_operation(self, *operations: str) -> list[Instruction]:
        """Returns live instructions created from TensorFlow operations of these types."""
        return [one for one in self.live if one.proto.metadata.op_type in operations]

    def of_opcode(self, *opcodes: str) -> list[Instruction]:
        """Returns live instructions with these opcodes."""
        return [one for one in self.live if one.opcode in opcodes]

    def float_types(self, instructions: Iterable[Instruction]) -> set[str]:
        """Returns the floating-point types, such as `F32`, read and written by instructions."""
        shapes = (
            shape
            for one in instructions
            for part in (one, *self.operands(one))
            for shape in _arrays(part.proto.shape)
        )
        return set(filter(_FLOAT.match, map(_type_name, shapes)))

    def in_float64(self) -> list[Instruction]:
        """Returns instructions that read or write float64."""
        return [one for one in self.instructions if "F64" in self.float_types([one])]

    def host_calls(self) -> list[Instruction]:
        """Returns instructions that may exchange data with the host."""
        return [one for one in self.instructions if one.opcode in _HOST_CALLS]

    def dynamic(self) -> list[Instruction]:
        """Returns instructions with a dimension whose size is unknown before the program runs."""
        return [
            one
            for one in self.instructions
            if any(any(shape.is_dynamic_dimension) for shape in _arrays(one.proto.shape))
        ]

    def casts(self) -> dict[tuple, list[Instruction]]:
        """Returns live casts of arguments to a low precision, by part of an argument."""
        found = collections.defaultdict(list)
        for one in self.live:
            if one.opcode == "convert" and one.element_type in LOW_PRECISION:
                if part := self._part_of_argument(one):
                    found[part].append(one)
        return dict(found)

    def transposes(self) -> list[Instruction]:
        """Returns live transpositions next to a product, possibly with casts in between."""
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
        """Counts the products' operations; a multiplication and an addition are two.

        Follows XLA's `HloCostAnalysis`, which TensorFlow does not expose: a kernel's positions in
        the padding, or in the gaps of a dilated input, are not counted.
        """
        return sum(2 * self._multiplications(product) for product in self.products())

    def product_bytes(self) -> int:
        """Returns the bytes that each product reads and writes by itself, in total."""
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
    """Translates a function for XLA with TensorFlow.

    Args:
        function: a function to be compiled by XLA.
        platform: target platform; no such device is needed. None: this processor, the only platform
            for which XLA optimizes here and functions with variables are supported.
        optimized: whether to return the optimized program.
    """
    stage = "optimized_hlo_serialized" if optimized else "hlo_serialized"
    with tf.device("/cpu:0"):  # Otherwise None would mean a GPU, if there is one.
        return Program(
            compiler_ir.from_concrete_function(function)(stage=stage, platform_name=platform)
        )


def _arrays(shape: xla_data_pb2.ShapeProto) -> Iterator[xla_data_pb2.ShapeProto]:
    """Yields the shapes of the arrays in a tuple, or of a single array."""
    if not shape.tuple_shapes:
        yield shape
    for part in shape.tuple_shapes:
        yield from _arrays(part)


def _type_name(shape: xla_data_pb2.ShapeProto) -> str:
    return xla_data_pb2.PrimitiveType.Name(shape.element_type)


def _reorders(instruction: Instruction) -> bool:
    """Whether it is a transposition that moves elements, ignoring dimensions of size 1."""
    if instruction.opcode != "transpose":
        return False
    shape, moved = instruction.proto.shape.dimensions, instruction.proto.dimensions
    moved = [source for source, size in zip(moved, shape, strict=True) if size > 1]
    return moved != sorted(moved)


def _positions_inside(size: int, window: xla_data_pb2.WindowDimension) -> int:
    """Counts the kernel positions that meet an input element, over all outputs of a dimension.

    Args:
        size: size of the input's dimension.
        window: the `WindowDimension`.
    """
    dilated = (size - 1) * window.base_dilation + 1
    kernel = np.arange(window.size) * window.window_dilation - window.padding_low
    last = dilated + window.padding_high - 1 - kernel[-1]
    places = np.arange(0, last + 1, window.stride)[:, None] + kernel
    inside = (places >= 0) & (places < dilated) & (places % window.base_dilation == 0)
    return int(np.count_nonzero(inside))
