"""Floating-point operations, counted in a graph.

TensorFlow's profiler knows how many each operation takes; only operations that the result needs are
counted, as only they run. A multiplication and an addition are two.
"""

from collections.abc import Iterator, Sequence

import tensorflow as tf
from tensorflow.python.framework import ops
from tensorflow.python.profiler.internal import flops_registry  # noqa: F401 - registers the counts
from tensorflow.python.util import deprecation

_LOOPS = ("While", "StatelessWhile")


def count(graph: tf.Graph, results: Sequence[tf.Tensor], *, turns: int = 1) -> int:
    """Operations that results need, on a graph whose shapes are all known.

    Args:
        graph: where they are computed.
        results: tensors of the graph.
        turns: how often the body of a loop in it runs.

    Returns:
        Their number; functions that the graph calls, but for the bodies of loops, count nothing.
    """
    total = 0
    for operation in _needed(results):
        with deprecation.silence():  # Of TensorFlow's own counting.
            found = ops.get_stats_for_node_def(graph, operation.node_def, "flops").value
        total += int(found or 0)
        if operation.type in _LOOPS:
            body = graph._get_function(operation.get_attr("body").name).graph
            total += turns * count(body, body.outputs)
    return total


def _needed(results: Sequence[tf.Tensor]) -> Iterator[tf.Operation]:
    waiting, seen = [tensor.op for tensor in results], set()
    while waiting:
        operation = waiting.pop()
        if operation not in seen:
            seen.add(operation)
            waiting += [tensor.op for tensor in operation.inputs]
            yield operation
