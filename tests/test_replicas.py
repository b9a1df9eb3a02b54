"""The same weights from one device, from virtual replicas and from worker processes."""

import json

import numpy as np
import pytest

from tests.conftest import ROOT, relative_difference
from tests.support.forked_commands import bare_machine
from tests.support.processes import free_ports
from tests.support.train_toy import BOUNDED, CASES, DRIFTS, EXACT, bound_of, of_case

WAYS = {"two": ("mirrored", 2), "four": ("mirrored", 4), "workers": ("multi_worker", 0)}


def train(strategy, virtual_devices, output, worker=None, ports=()):
    # The proxy answers nobody, as behind a firewall: workers reach each other without it.
    environment = {}
    assert "https_proxy" in bare_machine().environment
    if worker is not None:
        cluster = {"worker": [f"127.0.0.1:{port}" for port in ports]}
        task = {"type": "worker", "index": worker}
        environment["TF_CONFIG"] = json.dumps({"cluster": cluster, "task": task})
    flags = [strategy, str(virtual_devices), str(output)]
    return bare_machine().start("tests.support.train_toy", flags, ROOT, environment)


def finish(process):
    _, said = process.communicate(timeout=500)
    assert process.returncode == 0, said


@pytest.fixture(scope="module")
def weights(tmp_path_factory):
    """Weights after 50 steps, by way of training and case."""
    folder = tmp_path_factory.mktemp("weights")
    finish(train("one_device", 0, folder / "one.npz"))  # The others' forks take over its functions.
    waiting = [
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
        finish(process)
    return {file.stem: dict(np.load(file)) for file in folder.iterdir()}


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("case", BOUNDED)
def test_fifty_steps_end_with_the_weights_of_one_device(weights, way, case):
    first, alone = (of_case(weights["one"], case, when) for when in ("first", "last"))
    assert relative_difference(alone, first) > 1e-4
    difference = relative_difference(of_case(weights[way], case, "last"), alone)
    print(f"{case} {way}: {difference:.1e}")
    assert difference < bound_of(case)


@pytest.mark.parametrize("way", WAYS)
def test_what_adam_drifts_by_is_rounding(weights, way):
    alone = of_case(weights["one"], DRIFTS, "last")
    drift = relative_difference(of_case(weights[way], DRIFTS, "last"), alone)
    of_float64 = of_case(weights["one"], EXACT, "last")
    exact = relative_difference(of_case(weights[way], EXACT, "last"), of_float64)
    print(f"{DRIFTS} {way}: {drift:.1e}, in float64 {exact:.1e}")
    # A wrong gradient would be as wrong in float64, where rounding is 5e8 times smaller.
    assert exact < drift / 1e4


@pytest.mark.parametrize("case", CASES)
def test_workers_hold_the_same_weights(weights, case):
    for one, other in zip(
        of_case(weights["workers"], case, "last"), of_case(weights["workers1"], case, "last"),
        strict=True,
    ):  # fmt: skip
        np.testing.assert_array_equal(one, other)
