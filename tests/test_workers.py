"""trainer.main as two worker processes on this machine."""

import json
import os
import signal
import subprocess
import sys

import pytest

from tests.conftest import ROOT
from tests.support.processes import free_ports, wait_until

pytestmark = pytest.mark.slow

FLAGS = [
    "--model=lenet",
    "--recipe=seed",
    "--input_pooling=4",
    "--strategy=multi_worker",
    "--epochs=2",
    "--global_batch_size=16",
]


def start_workers(flags, folder, own_flags=((), ()), module="trainer.main"):
    """Starts two workers; what each says goes to a file of its own."""
    cluster = {"worker": [f"127.0.0.1:{port}" for port in free_ports(2)]}
    processes = []
    for index in range(2):
        task = {"type": "worker", "index": index}
        environment = os.environ | {"TF_CONFIG": json.dumps({"cluster": cluster, "task": task})}
        with (folder / f"worker{index}.log").open("w") as log:
            processes.append(
                subprocess.Popen(  # noqa: S603
                    [sys.executable, "-m", module, *flags, *own_flags[index]],
                    cwd=ROOT,
                    env=environment,
                    stderr=log,
                )  # fmt: skip
            )
    return processes


def codes(processes):
    return [process.wait(timeout=240) for process in processes]


@pytest.fixture(scope="module")
def trained(data_dir, tmp_path_factory):
    folder = tmp_path_factory.mktemp("workers")
    flags = [*FLAGS, f"--data_dir={data_dir}", f"--workdir={folder}/run"]
    assert codes(start_workers(flags, folder)) == [0, 0], (folder / "worker0.log").read_text()
    return folder


def test_two_workers_train_as_two_replicas_do(trained, finished_run):
    rows, expected = (
        [json.loads(line) for line in (run / "metrics.jsonl").open()]
        for run in (trained / "run", finished_run)
    )
    assert len(rows) == 2
    for row, other in zip(rows, expected, strict=True):
        # One step on raw gray values carries every rounding far; the first steps agree closely.
        assert row["loss"] == pytest.approx(other["loss"], rel=1e-2)
        assert row["slowest_worker"] in (0, 1) and row["slowest_worker_lag"] >= 0
        assert 0 < row["step_seconds_p50"] <= row["step_seconds_p99"]
    content = json.loads((trained / "run" / "config.json").read_text())
    assert content["hardware"]["workers"] == 2
    assert content["hardware"]["replicas"] == 2
    assert json.loads((trained / "run" / "status.json").read_text())["status"] == "done"


def test_the_chief_alone_writes(trained):
    assert "best epoch" in (trained / "worker1.log").read_text()
    for curve in ("train", "validation"):
        assert len(list((trained / "run" / "tensorboard" / curve).iterdir())) == 1
    assert not list((trained / "run").rglob("*partial*"))


def test_a_signal_to_one_worker_stops_all_after_the_same_step(data_dir, tmp_path):
    flags = [
        *FLAGS, "--epochs=50", "--patience=50", f"--data_dir={data_dir}",
        f"--workdir={tmp_path}/run",
    ]  # fmt: skip
    chief, other = start_workers(flags, tmp_path)
    wait_until(lambda: (tmp_path / "run" / "metrics.jsonl").exists(), chief)
    os.kill(other.pid, signal.SIGTERM)
    assert codes([chief, other]) == [75, 75], (tmp_path / "worker0.log").read_text()
    stops = [
        next(line for line in (tmp_path / f"worker{index}.log").open() if "stopped: " in line)
        for index in range(2)
    ]
    assert stops[0] == stops[1]
    assert json.loads((tmp_path / "run" / "status.json").read_text())["status"] == "preempted"


def test_the_chief_tries_the_steps_and_the_others_take_its_answers(data_dir, tmp_path, monkeypatch):
    monkeypatch.setenv("CXR_CACHE_DIR", str(tmp_path / "cache"))
    flags = [
        *FLAGS, "--epochs=1", "--global_batch_size=auto", f"--data_dir={data_dir}",
        f"--workdir={tmp_path}/run",
    ]  # fmt: skip
    workers = start_workers(flags, tmp_path, module="tests.support.train_as_on_gpus")
    assert codes(workers) == [0, 0], (tmp_path / "worker0.log").read_text()
    content = json.loads((tmp_path / "run/config.json").read_text())
    assert (content["config"]["global_batch_size"], content["hardware"]["xla"]) == (8, False)
    said = [(tmp_path / f"worker{index}.log").read_text() for index in range(2)]
    assert "XLA: off, by trial" in said[0] and "trial" not in said[1]


def test_workers_without_a_common_run_directory_are_refused(trained, data_dir, tmp_path):
    own_flags = [f"--workdir={trained}/run"], [f"--workdir={tmp_path}/elsewhere"]
    workers = start_workers([*FLAGS, f"--data_dir={data_dir}"], tmp_path, own_flags)
    assert 2 in codes(workers)
    said = (tmp_path / "worker0.log").read_text() + (tmp_path / "worker1.log").read_text()
    assert "found different checkpoints" in said
    assert "epoch 0 step 0 and epoch 2 step 0" in said
