import gc

import keras
import pytest
import tensorflow as tf

from tests.conftest import one_device, two_replicas
from tests.support.toy import BATCH, make_examples, train
from trainer.data.input import distribute_batches


def capturing_graphs():
    """The traced graphs in memory that hold variables, or other tensors from outside."""
    gc.collect()
    graphs = [found for found in gc.get_objects() if isinstance(found, tf.Graph)]
    return {id(graph) for graph in graphs if getattr(graph, "captures", ())}


@pytest.mark.parametrize("xla", [False, True])
@pytest.mark.parametrize("replicas", [one_device, two_replicas])
def test_no_graph_that_holds_variables_outlives_its_engine(replicas, xla):
    before = capturing_graphs()
    examples = make_examples(2 * BATCH)
    engine, *others = train(
        replicas(), examples, 2, xla=xla, clip_norm=1.0,
        optimizer=lambda: keras.optimizers.AdamW(1e-3, use_ema=True),
    )  # fmt: skip
    engine.evaluate(iter(distribute_batches(examples, replicas(), BATCH)), 2)
    assert capturing_graphs() - before
    del engine, others
    assert not capturing_graphs() - before
