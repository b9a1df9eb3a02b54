"""Workers with network stacks and addresses of their own train as one process does."""

import json
import os
import subprocess
import sys

import numpy as np
import pytest

from tests.conftest import ROOT, relative_difference
from tests.support.namespaces import Network
from tests.support.train_toy import BOUNDED, bound_of, of_case

# Divides by two and by three workers.
BATCH = "24"

pytestmark = pytest.mark.slow


def train(output, strategy, prefix=(), tf_config=None):
    environment = dict(os.environ) | ({"TF_CONFIG": json.dumps(tf_config)} if tf_config else {})
    command = [
        *prefix,
        sys.executable,
        "-m",
        "tests.support.train_toy",
        strategy,
        "0",
        str(output),
        BATCH,
    ]
    return subprocess.Popen(  # noqa: S603
        command, cwd=ROOT, env=environment, stderr=subprocess.PIPE, text=True
    )


@pytest.fixture(scope="module")
def weights(tmp_path_factory):
    """Weights of one process, of two and of three workers, each in a namespace."""
    folder = tmp_path_factory.mktemp("weights")
    waiting = [train(folder / "one.npz", "one_device")]
    with Network(3) as network:
        for count in (2, 3):
            addresses = [f"{host}:{5000 + count}" for host in network.hosts[:count]]
            for index in range(count):
                task = {"type": "worker", "index": index}
                config = {"cluster": {"worker": addresses}, "task": task}
                output = folder / (f"{count}.npz" if index == 0 else f"{count}-{index}.npz")
                waiting.append(train(output, "multi_worker", network.prefixes[index], config))
        for process in waiting:
            _, said = process.communicate(timeout=580)
            assert process.returncode == 0, said
    return {file.stem: dict(np.load(file)) for file in folder.iterdir()}


@pytest.mark.parametrize("count", [2, 3])
@pytest.mark.parametrize("case", BOUNDED)
def test_workers_end_with_the_weights_of_one_process(weights, count, case):
    alone, together = (of_case(weights[name], case, "last") for name in ("one", str(count)))
    difference = relative_difference(together, alone)
    print(f"{case} {count} workers: {difference:.1e}")
    assert difference < bound_of(case)
    for index in range(1, count):
        other = of_case(weights[f"{count}-{index}"], case, "last")
        assert relative_difference(other, together) == 0
