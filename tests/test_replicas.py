"""The same weights from one device, from virtual replicas and from worker processes."""

import json
import os
import socket
import subprocess
import sys

import numpy as np
import pytest

from tests.conftest import ROOT, relative_difference
from tests.train_toy import CASES

WAYS = {"two": ("mirrored", 2), "four": ("mirrored", 4), "workers": ("multi_worker", 0)}


def free_ports(count):
    sockets = [socket.socket() for _ in range(count)]
    for one in sockets:
        one.bind(("127.0.0.1", 0))
    ports = [one.getsockname()[1] for one in sockets]
    for one in sockets:
        one.close()
    return ports


def train(strategy, virtual_devices, output, worker=None, ports=()):
    environment = dict(os.environ)
    if worker is not None:
        cluster = {"worker": [f"127.0.0.1:{port}" for port in ports]}
        task = {"type": "worker", "index": worker}
        environment["TF_CONFIG"] = json.dumps({"cluster": cluster, "task": task})
    return subprocess.Popen(  # noqa: S603
        [sys.executable, "-m", "tests.train_toy", strategy, str(virtual_devices), str(output)],
        cwd=ROOT, env=environment, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip


@pytest.fixture(scope="module")
def weights(tmp_path_factory):
    """Weights after 50 steps, by way of training and case."""
    folder = tmp_path_factory.mktemp("weights")
    waiting = [train("one_device", 0, folder / "one.npz")]
    waiting += [
        train(strategy, devices, folder / f"{way}.npz")
        for way, (strategy, devices) in WAYS.items()
        if strategy == "mirrored"
    ]
    ports = free_ports(2)
    waiting += [
        train(
            "multi_worker", 0, folder / f"workers{'' if worker == 0 else worker}.npz", worker, ports
        )
        for worker in range(2)
    ]
    for process in waiting:
        _, said = process.communicate(timeout=500)
        assert process.returncode == 0, said
    return {file.stem: dict(np.load(file)) for file in folder.iterdir()}


def of_case(arrays, case, when):
    return [arrays[name] for name in arrays if name.startswith(f"{case}/{when}/")]


def bound_of(case):
    # Adam divides a gradient by its own size, which blows up the rounding of those that nearly
    # cancel; in float64 what is left must be as small as float64's rounding makes it.
    bounds = {"sgd_float32": 1e-5, "adam_float32": 1e-3, "adam_float64": 1e-9}
    (bound,) = [bound for name, bound in bounds.items() if name in case]
    return bound


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("case", CASES)
def test_fifty_steps_end_with_the_weights_of_one_device(weights, way, case):
    first, alone = (of_case(weights["one"], case, when) for when in ("first", "last"))
    assert relative_difference(alone, first) > 1e-4
    difference = relative_difference(of_case(weights[way], case, "last"), alone)
    print(f"{case} {way}: {difference:.1e}")
    assert difference < bound_of(case)


@pytest.mark.parametrize("case", CASES)
def test_workers_hold_the_same_weights(weights, case):
    for one, other in zip(
        of_case(weights["workers"], case, "last"), of_case(weights["workers1"], case, "last"),
        strict=True,
    ):  # fmt: skip
        np.testing.assert_array_equal(one, other)
