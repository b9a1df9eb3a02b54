from typing import NamedTuple

import keras
import numpy as np
import pytest
import tensorflow as tf

from tests.conftest import one_device, two_replicas
from tests.support.toy import BATCH, SIZE, make_examples
from trainer.data.input import distribute_batches
from trainer.training.traced_once import TracedOnce, replica_index, specs_of_replica

# Of two replicas, a row each.
VALUES = np.array([[1, 2, 3], [4, -5, 6]], np.float32)
ROW = tf.TensorSpec([3], tf.float32)


class Pair(NamedTuple):
    first: tf.Tensor
    second: tf.Tensor


class Counted:
    """A function whose Python code runs when it is traced, and counts that."""

    def __init__(self):
        self.traces = 0

    def __call__(self, pair, options):
        self.traces += 1
        return {"sum": tf.reduce_sum(pair.first), "both": [pair.second * options["factor"]]}


def arguments_of(row):
    return Pair(row, row + 1), {"factor": tf.constant(10.0)}


SPECS = (Pair(ROW, ROW), {"factor": tf.TensorSpec([], tf.float32)})


def call_on_both(function):
    """Calls it with the row of each replica; returns what each of them got, and the graph."""
    strategy = two_replicas()

    def on_replica():
        return function(*arguments_of(tf.constant(VALUES)[replica_index(2)]))

    run = tf.function(lambda: strategy.run(on_replica))
    return strategy.experimental_local_results(run()), run.get_concrete_function().graph


@pytest.mark.parametrize("jit_compile", [False, True])
@pytest.mark.parametrize("device", [None, "/cpu:0"])
def test_two_replicas_share_one_trace_and_get_their_own_results(device, jit_compile):
    counted = Counted()
    shared = TracedOnce(counted, jit_compile=jit_compile, device=device)
    shared.trace(*SPECS)
    parts, _ = call_on_both(shared)
    assert counted.traces == 1
    for part, row in zip(parts, VALUES, strict=True):
        assert part["sum"].numpy() == row.sum()
        np.testing.assert_array_equal(part["both"][0], (row + 1) * 10)


def test_a_plain_function_is_traced_for_each_replica():
    counted = Counted()
    call_on_both(tf.function(counted))
    assert counted.traces == 2


@pytest.mark.parametrize("device, places", [(None, [0, 1]), ("/cpu:0", [0, 0]), ("/cpu:1", [1, 1])])
def test_it_runs_where_it_is_told_and_its_results_are_on_the_replica(device, places):
    shared = TracedOnce(Counted(), jit_compile=False, device=device)
    shared.trace(*SPECS)
    found = {}

    def call(*arguments):
        results = shared(*arguments)
        found[replica_index(2)] = {tensor.device[-5:] for tensor in tf.nest.flatten(results)}
        return results

    _, graph = call_on_both(call)
    calls = [op for op in graph.get_operations() if op.type.endswith("PartitionedCall")]
    assert sorted(call.device[-5:] for call in calls) == [f"CPU:{place}" for place in places]
    assert found == {0: {"CPU:0"}, 1: {"CPU:1"}}


def test_it_stays_a_function_of_its_own_in_the_graph():
    shared = TracedOnce(Counted(), jit_compile=False)
    shared.trace(*SPECS)
    _, graph = call_on_both(shared)
    called = {
        op.get_attr("f").name
        for op in graph.get_operations()
        if op.type.endswith("PartitionedCall")
    }
    assert len(called) == 1, "both replicas must call the same function"
    functions = {f.signature.name: f for f in graph.as_graph_def().library.function}
    assert functions[called.pop()].attr["_noinline"].b


def test_shapes_that_were_traced_are_not_traced_again():
    counted = Counted()
    shared = TracedOnce(counted, jit_compile=False)
    for _ in range(3):
        shared.trace(*SPECS)
    assert counted.traces == 1
    other = tf.TensorSpec([5], tf.float32)
    shared.trace(Pair(other, other), SPECS[1])
    assert counted.traces == 2
    five = tf.range(5.0)
    assert shared(*arguments_of(five))["sum"] == 10
    shared.trace(*SPECS)
    assert shared(*arguments_of(tf.constant(VALUES[1])))["sum"] == 5
    assert counted.traces == 2


def test_the_trace_tells_what_is_returned():
    found = TracedOnce(Counted(), jit_compile=False).trace(*SPECS)
    # Dictionaries are flat in the order of their keys.
    assert [(tuple(spec.shape), spec.dtype) for spec in found] == [
        ((3,), tf.float32), ((), tf.float32)
    ]  # fmt: skip


@pytest.mark.parametrize(
    "variable", [tf.Variable(2.0), keras.Variable(2.0)], ids=["tensorflow", "keras"]
)
@pytest.mark.parametrize("writes", [False, True])
def test_a_function_with_a_variable_is_refused(variable, writes):
    def function(row):
        if writes:
            variable.assign(row[0])
        return row if writes else row * variable

    with pytest.raises(ValueError, match="must not capture variables"):
        TracedOnce(function, jit_compile=False).trace(ROW)


def test_constants_are_no_variables():
    weights = tf.constant(VALUES[0])
    shared = TracedOnce(lambda row: row * weights, jit_compile=False)
    shared.trace(ROW)
    np.testing.assert_array_equal(shared(tf.constant(VALUES[1])), VALUES[0] * VALUES[1])


@pytest.mark.parametrize("strategy, rows", [(one_device, BATCH), (two_replicas, BATCH // 2)])
def test_a_replica_gets_its_part_of_the_batch(strategy, rows):
    iterator = iter(distribute_batches(make_examples(BATCH), strategy(), BATCH))
    specs = specs_of_replica(iterator)
    assert (tuple(specs["image"].shape), specs["image"].dtype) == ((rows, SIZE, SIZE, 1), tf.uint8)
    assert tuple(specs["label"].shape) == tuple(specs["weight"].shape) == (rows,)
    assert set(specs) == set(next(iterator))


@pytest.mark.parametrize("replicas_here, expected", [(2, [0, 1]), (1, [0, 0])])
def test_replicas_are_counted_in_their_process(replicas_here, expected):
    found = []
    two_replicas().run(lambda: found.append(replica_index(replicas_here)))
    assert sorted(found) == expected
