"""What stands outside a step's compiled parts does not grow with the network."""

import numpy as np
import pytest
import tensorflow as tf

from benchmarks.loop_operations import TracedLoop
from tests.conftest import one_device, two_replicas
from tests.support.toy import examples_of
from trainer import models
from trainer.data.augment import Augmentation
from trainer.data.input import distribute_batches
from trainer.training.computation import Computation
from trainer.training.engine import Engine
from trainer.training.execution import Execution
from trainer.training.objective import Objective
from trainer.training.optimizer import Optimization, build_optimizer

SIZE = 32


def traced_loop(name, strategy, **execution):
    """The loop of a network, all of it trained as the strong recipe does."""
    model = models.build(
        name, models.Architecture(train_backbone=name != "lenet"), image_shape=(SIZE, SIZE, 1)
    )
    chosen = Optimization(
        optimizer="adamw", learning_rate=1e-3, schedule="cosine", warmup_epochs=3,
        weight_decay=0.05, ema_momentum=0.99,
    )  # fmt: skip
    engine = Engine(
        strategy,
        model,
        Computation(
            build_optimizer(chosen, total_steps=9),
            Objective(4),
            augmentation=Augmentation(flip=True),
            clip_norm=1.0,
        ),
        execution=Execution(xla=True, **execution),
    )
    images = np.zeros((4, SIZE, SIZE, 1), np.uint8)
    examples = examples_of(images, np.zeros(4, int))
    batches = iter(distribute_batches(examples, strategy, 4, augment_seed=0, timed=True))
    return TracedLoop(engine, batches)


@pytest.mark.parametrize("strategy", [one_device, two_replicas])
@pytest.mark.parametrize("name", models.NAMES)
def test_a_step_is_so_many_operations_outside_the_compiled_parts(name, strategy):
    loop = traced_loop(name, strategy())
    counted = loop.count_operations()
    print(name, dict(counted))
    # One call of the step and one of the update for each replica: nothing was counted twice or
    # left out.
    calls = sum(number for kind, number in counted.items() if kind.endswith("PartitionedCall"))
    assert calls == 2 * strategy().num_replicas_in_sync
    # However many arrays there are: DenseNet-169 has 508, LeNet 8.
    assert counted.total() <= 25 * strategy().num_replicas_in_sync


@pytest.mark.parametrize(("reduce_dtype", "collectives"), [("float32", 1), ("bfloat16", 2)])
def test_all_is_reduced_at_once_for_each_dtype(reduce_dtype, collectives):
    loop = traced_loop("lenet", two_replicas(), reduce_dtype=reduce_dtype)
    assert loop.count_operations()["CollectiveReduceV2"] == 2 * collectives


def test_the_next_step_waits_for_nothing_that_this_one_computes():
    loop = traced_loop("lenet", two_replicas())
    assert loop.count_awaited() == 0


def test_a_condition_on_the_steps_own_outcome_would_be_counted(monkeypatch):
    def impatient(self, iterator, steps):
        taken, last = tf.constant(0), tf.zeros([3])
        while taken < steps and last[1] == 0.0:
            batch, idle_from = next(iterator), tf.constant(0, tf.int64)
            outcome, _ = self._strategy.run(self._train_batch, args=(batch, idle_from))
            last = self._of_replicas(outcome)[0]
            taken += 1
        return taken, last, last

    monkeypatch.setattr(Engine, "_train", impatient)
    loop = traced_loop("lenet", two_replicas())
    assert loop.count_awaited() == 1
