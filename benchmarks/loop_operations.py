"""Inspects the traced training loop: the cost of a step outside its compiled parts."""

import collections
from collections.abc import Iterator
from typing import Any

import tensorflow as tf

from trainer.training.engine import Engine
from trainer.training.traced_once import NOT_INLINED

# Computed before the loop, or an alias.
_FREE = ("Const", "Identity", "NoOp", "Placeholder")
_LOOPS = ("While", "StatelessWhile")


class TracedLoop:
    """The graph of an engine's training loop."""

    def __init__(self, engine: Engine, iterator: tf.distribute.DistributedIterator) -> None:
        """Traces the loop, unless already done.

        Args:
            engine: engine whose loop is inspected.
            iterator: iterator over training batches.
        """
        graph = engine.trace(iterator).graph.as_graph_def()
        self._functions = {function.signature.name: function for function in graph.library.function}
        nodes = [
            *graph.node,
            *(node for function in self._functions.values() for node in function.node_def),
        ]
        (loop,) = [node for node in nodes if node.op in _LOOPS]
        self._body, self._condition = (
            self._functions[loop.attr[name].func.name] for name in ("body", "cond")
        )

    def count_operations(self) -> collections.Counter:
        """Counts operations per step outside the step's and the update's own functions, by type.

        A call of the step or of an update counts as one. Constants and identities are ignored.
        """
        return self._count(self._body) + self._count(self._condition)

    def count_awaited(self) -> int:
        """Counts the results of a step that must be known before the next step can start.

        Each one is a read from the device for which the host waits.
        """
        decided_by = {
            position
            for position, argument in enumerate(self._condition.signature.input_arg)
            if any(_names_of(node.input, argument.name) for node in self._condition.node_def)
        }
        outputs = list(self._body.signature.output_arg)
        return sum(
            self._comes_from_step(self._body.ret[outputs[position].name]) for position in decided_by
        )

    def _comes_from_step(self, tensor: str) -> bool:
        nodes = {node.name: node for node in self._body.node_def}
        waiting, seen = [tensor], set()
        while waiting:
            name = waiting.pop().removeprefix("^").partition(":")[0]
            if name in seen or name not in nodes:
                continue
            seen.add(name)
            if any(_is_compiled_part(called) for called in self._called_by(nodes[name])):
                return True
            waiting += [one for one in nodes[name].input if not one.startswith("^")]
        return False

    def _count(self, function: Any) -> collections.Counter:
        found: collections.Counter = collections.Counter()
        for node in function.node_def:
            called = list(self._called_by(node))
            inlined = [one for one in called if not _is_compiled_part(one)]
            if node.op not in _FREE and (not called or len(inlined) < len(called)):
                found[node.op] += 1
            for one in inlined:
                found += self._count(one)
        return found

    def _called_by(self, node: Any) -> Iterator[Any]:
        for attribute in node.attr.values():
            if attribute.func.name in self._functions:
                yield self._functions[attribute.func.name]


def _names_of(inputs: list[str], name: str) -> bool:
    return any(one.removeprefix("^").partition(":")[0] == name for one in inputs)


def _is_compiled_part(function: Any) -> bool:
    return any(function.attr[name].b for name in NOT_INLINED)
