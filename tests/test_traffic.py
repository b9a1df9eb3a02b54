import keras
import pytest
import tensorflow as tf

from benchmarks import traffic
from tests import toy
from tests.conftest import one_device
from trainer.data.input import distribute_batches
from trainer.training import engine
from trainer.training.objective import Objective


def with_batch_normalization():
    model = toy.frozen_backbone()
    for layer in model.layers:
        layer.trainable = True
    return model


@pytest.mark.parametrize(
    "network", [toy.small_lenet, toy.frozen_backbone, with_batch_normalization]
)
def test_the_engine_reduces_so_many_bytes(network, monkeypatch):
    sizes = []

    def record(values):
        sizes.append(sum(value.dtype.size * tf.size(value).numpy() for value in values))
        return values

    monkeypatch.setattr(engine, "_sum_over_replicas", record)
    model = network()
    optimizer = keras.optimizers.SGD(0.0)
    made = engine.Engine(one_device(), model, optimizer, objective=Objective(4), xla=False)
    batches = iter(distribute_batches(toy.make_examples(16), one_device(), 16, augment_seed=0))
    tf.config.run_functions_eagerly(True)
    try:
        made.train(batches, 1)
    finally:
        tf.config.run_functions_eagerly(False)
    assert sizes == [traffic.reduced_bytes(model)]


def test_a_ring_moves_what_its_steps_add_up_to():
    # 2 (n - 1) steps of a chunk of one n-th each, on every GPU.
    gpus, reduced = 5, 1000
    assert traffic.ring_bytes(reduced, gpus) == sum([reduced / gpus] * 2 * (gpus - 1))


def test_the_slowest_link_and_the_messages_count():
    links = {"gpus_per_node": 8, "nvlink": 200.0, "nic": 25.0, "latency": 0.0}
    in_node, beyond = (traffic.reduction_seconds(800, n, **links) for n in (8, 16))
    assert in_node == pytest.approx(1400 / 200)
    assert beyond == pytest.approx(1500 / 25)
    links["latency"] = 0.5
    assert traffic.reduction_seconds(800, 16, **links) == pytest.approx(60 + 15)
    assert traffic.efficiency(3.0, 1.0) == 0.75
