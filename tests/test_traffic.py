import json

import keras
import pytest
from absl import flags
from absl.testing import flagsaver

from benchmarks import reduction, traffic
from tests.conftest import one_device
from tests.support import toy
from trainer.data.input import distribute_batches
from trainer.training import engine
from trainer.training.computation import Computation
from trainer.training.execution import Execution
from trainer.training.objective import Objective


def with_batch_normalization():
    model = toy.frozen_backbone()
    for layer in model.layers:
        layer.trainable = True
    return model


@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
@pytest.mark.parametrize(
    "network", [toy.small_lenet, toy.frozen_backbone, with_batch_normalization]
)
def test_the_engine_reduces_so_many_bytes(network, precision, monkeypatch):
    sizes = []

    def record(values):
        sizes.extend(value.dtype.size * value.shape.num_elements() for value in values)
        return values

    monkeypatch.setattr(engine, "sum_over_replicas", record)
    model = network()
    optimizer = keras.optimizers.SGD(0.0)
    made = engine.Engine(
        one_device(),
        model,
        Computation(optimizer, Objective(4)),
        execution=Execution(reduce_dtype=precision),
    )
    batches = iter(distribute_batches(toy.make_examples(16), one_device(), 16, augment_seed=0))
    made.trace(batches)
    assert sizes == reduction.reduced_bytes(model, precision)


def test_bytes_are_those_counted_by_hand():
    # Kernel and bias of two convolutions and two dense layers, gamma and beta of each feature map;
    # mean and variance of each; weight, count and request.
    pixels = 7 * 7
    convolutions, maps = (3 * 3 * 1 + 1) * 8 + (3 * 3 * 8 + 1) * 16, 8 + 16
    dense = (pixels * 16 + 1) * 16 + (16 + 1) * 4
    model, gradients, others = with_batch_normalization(), convolutions + 2 * maps + dense, 2 * maps
    assert reduction.reduced_bytes(model) == [4 * (gradients + others + 3)]
    assert reduction.reduced_bytes(model, "bfloat16") == [4 * (others + 3), 2 * gradients]
    assert reduction.reduced_bytes(toy.frozen_backbone(), "bfloat16") == [4 * 3, 2 * dense]


def test_a_ring_moves_what_its_steps_add_up_to():
    # 2 (n - 1) steps of a chunk of one n-th each, on every GPU.
    gpus, reduced = 5, 1000
    assert reduction.ring_bytes(reduced, gpus) == sum([reduced / gpus] * 2 * (gpus - 1))


def test_the_slowest_link_and_the_messages_count():
    links = {"gpus_per_node": 8, "nvlink": 200.0, "nic": 25.0, "latency": 0.0}
    in_node, beyond = (reduction.reduction_seconds(800, n, **links) for n in (8, 16))
    assert in_node == pytest.approx(1400 / 200)
    assert beyond == pytest.approx(1500 / 25)
    links["latency"] = 0.5
    assert reduction.reduction_seconds(800, 16, **links) == pytest.approx(60 + 15)
    assert reduction.efficiency(3.0, 1.0) == 0.75


def last_line(capsys, monkeypatch, **given):
    """What the command prints of LeNet as JSON with these flags."""
    monkeypatch.setattr(traffic.models, "NAMES", ("lenet",))
    flags.FLAGS.mark_as_parsed()
    with flagsaver.flagsaver(**given):
        traffic.main()
    return json.loads(capsys.readouterr().out.splitlines()[-1])


@pytest.mark.parametrize(
    "given, in_node, beyond",
    [
        ({}, 200e9, 25e9),
        ({"node": "h100"}, 480e9, 50e9),
        ({"node": "h100", "nic_gbytes": 7.0}, 480e9, 7e9),
        ({"node": "h100", "nvlink_gbytes": 9.0, "nic_gbytes": 90.0}, 9e9, 9e9),
        ({"nvlink_gbytes": 300.0}, 300e9, 25e9),
    ],
)
def test_a_node_stands_for_its_links_unless_they_are_given(
    given, in_node, beyond, capsys, monkeypatch
):
    row = last_line(capsys, monkeypatch, latency_us=0.0, **given)["rows"][0]
    computing = 32 * row["flops_per_image"] / 100e12
    for gpus, rate in ((8, in_node), (64, beyond), (256, beyond)):
        reducing = (2 - 2 / gpus) * row["reduced_bytes"] / rate
        assert row["efficiency"][str(gpus)] == pytest.approx(computing / (computing + reducing))


def test_bfloat16_halves_the_bytes_and_doubles_the_messages(capsys, monkeypatch):
    both = [
        last_line(capsys, monkeypatch, latency_us=1000.0, reduce_precision=precision)["rows"][0]
        for precision in ("float32", "bfloat16")
    ]
    # LeNet has no statistics: all but three signals halves.
    signals = 4 * 3
    whole, half = (row["reduced_bytes"] - signals for row in both)
    assert (whole, [row["collectives"] for row in both]) == (2 * half, [1, 2])
    waits = []
    for row in both:
        busy = row["computing_ms"] / row["efficiency"]["8"] - row["computing_ms"]
        waits.append(busy - 1e3 * 2 * 7 / 8 * row["reduced_bytes"] / 200e9)
    # 14 messages of a millisecond in each ring of 8.
    assert waits == pytest.approx([14, 28])


def test_all_that_is_assumed_is_told(capsys, monkeypatch):
    assumed = last_line(capsys, monkeypatch, node="h100", nic_gbytes=40.0)["assumed"]
    assert assumed == {
        "node": "h100", "reduce_precision": "float32", "batch_per_gpu": 32, "gpu_tflops": 100.0,
        "gpus_per_node": 8, "nvlink_gbytes": 480.0, "nic_gbytes": 40.0, "latency_us": 10.0,
    }  # fmt: skip
