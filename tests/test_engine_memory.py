import gc

import keras
import pytest
from tensorflow.python.framework.func_graph import FuncGraph

from tests.conftest import one_device, two_replicas
from tests.support.toy import make_examples, train


def capturing_graphs():
    """The traced graphs in memory that hold variables, or other tensors from outside."""
    gc.collect()
    graphs = [found for found in gc.get_objects() if isinstance(found, FuncGraph)]
    return {id(graph) for graph in graphs if graph.captures}


@pytest.mark.parametrize("xla", [False, True])
@pytest.mark.parametrize("replicas", [one_device, two_replicas])
def test_no_graph_that_holds_variables_outlives_its_engine(replicas, xla):
    before = capturing_graphs()
    trained = train(
        replicas(), make_examples(32), 2, xla=xla, clip_norm=1.0,
        optimizer=lambda: keras.optimizers.AdamW(1e-3, use_ema=True),
    )  # fmt: skip
    assert capturing_graphs() - before
    del trained
    assert not capturing_graphs() - before
