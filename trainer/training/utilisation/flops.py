"""Counts floating-point operations in a graph.

TensorFlow's profiler provides the operations of each node; only nodes needed for the result are
counted, as only they run. A multiplication and an addition are two operations.
"""

from collections.abc import Iterator, Sequence

import tensorflow as tf
from tensorflow.python.framework import ops
from tensorflow.python.profiler.internal import flops_registry  # noqa: F401 - registers the counts
from tensorflow.python.util import deprecation

_LOOPS = ("While", "StatelessWhile")


def count(graph: tf.Graph, results: Sequence[tf.Tensor], *, turns: int = 1) -> int:
    """Counts the operations needed for results, in a graph with known shapes.

    Args:
        graph: the graph that computes them.
        results: tensors of the graph.
        turns: number of iterations of a loop in it.

    Returns:
        The number of operations, excluding called functions other than loop bodies.
    """
    total = 0
    for operation in _needed(results):
        with deprecation.silence():  # TensorFlow's own counting is deprecated.
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
