"""Workers that are killed, stopped or cut off, with restarts and without.

    python -m pytest -m slow -s tests/test_lost_workers.py

prints a table of what each fault gave.
"""

import json
import os
import random
import re
import signal
import subprocess
import sys
import time

import psutil
import pytest

from tests.conftest import ROOT
from tests.support import small_dataset
from tests.support.namespaces import Network
from tests.support.processes import free_ports, wait_until
from tests.support.trainings import assert_same_run

pytestmark = pytest.mark.slow

TIMEOUT = 10
# For the heartbeat to be missed, the missing worker to be found, and the process to end.
END_WITHIN = 2 * TIMEOUT + 15
MULTI_WORKER = ["--strategy=multi_worker", f"--worker_timeout={TIMEOUT}"]
FAULTS_WITH_RESTARTS = 21


@pytest.fixture(scope="module")
def flags(tmp_path_factory):
    return [*small_dataset.build(tmp_path_factory.mktemp("small")), *MULTI_WORKER]


@pytest.fixture(scope="module")
def table():
    rows = []
    yield lambda *cells: rows.append(cells)
    print()
    for row in rows:
        print(" | ".join(f"{cell!s}" for cell in row))


def launch(flags, log, *options):
    with log.open("w") as file:
        return subprocess.Popen(  # noqa: S603
            [sys.executable, "-m", "launch.local", "--num_workers=2", "--grace_seconds=3", *options,
             "--", sys.executable, "-m", "trainer.main", *flags],
            cwd=ROOT, stderr=file,
        )  # fmt: skip


def workers_of(launcher):
    """The worker processes of a launch by index; None while some are being started."""
    found = {}
    try:
        for child in psutil.Process(launcher.pid).children():
            config = child.environ().get("TF_CONFIG")
            found[json.loads(config)["task"]["index"]] = child
    except (psutil.Error, TypeError):
        return None
    return found if len(found) == 2 else None


def checkpoints(run):
    return sorted(path.name for path in (run / "checkpoints").glob("epoch-*"))


def is_writing(run):
    return (run / "checkpoints" / "partial").exists()


def inject(kind, launcher, run, moments):
    """Disturbs a running job at a random moment; returns a line about it."""
    workers = wait_until(lambda: workers_of(launcher))
    before = checkpoints(run)
    for _ in range(moments.randint(1, 4)):
        seen = checkpoints(run)
        wait_until(lambda seen=seen: checkpoints(run) != seen)
    index = 0 if kind == "chief writing" else moments.randrange(2)
    if kind == "chief writing":
        wait_until(lambda: is_writing(run))
    elif kind == "killed":
        time.sleep(moments.uniform(0, 1))
    workers[index].send_signal(signal.SIGSTOP if kind == "stopped" else signal.SIGKILL)
    began, left = time.monotonic(), checkpoints(run)
    gone = [process.pid for process in workers.values()]
    wait_until(lambda: not any(map(psutil.pid_exists, gone)), seconds=END_WITHIN)
    assert before != left
    return index, is_writing(run), left[-1], time.monotonic() - began


def test_with_restarts_a_disturbed_job_ends_as_an_undisturbed_one(flags, tmp_path, table):
    flags = [*flags, "--epochs=40"]  # More than all faults leave time for.
    whole, disturbed = tmp_path / "whole", tmp_path / "disturbed"
    assert launch([*flags, f"--workdir={whole}"], tmp_path / "whole.log").wait(600) == 0

    restarts = f"--max_restarts={FAULTS_WITH_RESTARTS}"
    launcher = launch([*flags, f"--workdir={disturbed}"], tmp_path / "disturbed.log", restarts)
    moments = random.Random(0)  # noqa: S311
    for fault in range(FAULTS_WITH_RESTARTS):
        kind = ("killed", "chief writing", "stopped")[fault % 3]
        index, partial, left, seconds = inject(kind, launcher, disturbed, moments)
        outcome = f"both ended after {seconds:.1f} s, restarted"
        table(f"{kind}, restart", f"worker {index}", f"half-written {partial}", left, outcome)
    assert launcher.wait(600) == 0
    said = (tmp_path / "disturbed.log").read_text()
    assert f"restart {FAULTS_WITH_RESTARTS} of at most {FAULTS_WITH_RESTARTS}" in said
    # Nothing that was checkpointed is lost: each start goes on where the newest checkpoint was.
    assert_same_run(disturbed, whole)
    table("all of the above", "", "", checkpoints(disturbed)[-1], "same weights, bit for bit")


def start(flags, folder, addresses, prefixes):
    """Starts a worker for each address, behind the words that put it into its namespace."""
    processes = []
    for index, prefix in enumerate(prefixes):
        task = {"type": "worker", "index": index}
        config = {"cluster": {"worker": addresses}, "task": task}
        with (folder / f"worker{index}.log").open("w") as log:
            processes.append(
                subprocess.Popen(  # noqa: S603
                    [*prefix, sys.executable, "-m", "trainer.main", *flags],
                    cwd=ROOT, env=os.environ | {"TF_CONFIG": json.dumps(config)}, stderr=log,
                )
            )  # fmt: skip
    return processes


def sentence(folder, index):
    lines = (folder / f"worker{index}.log").read_text().splitlines()
    assert not any(line.startswith("Traceback") for line in lines), lines[-30:]
    return next((line for line in lines if line.startswith("error: lost ")), "")


def named(sentence):
    """Indices of the workers that a message says are lost."""
    return {int(index) for index in re.findall(r"worker (\d)", sentence)}


@pytest.mark.parametrize("fault", [signal.SIGKILL, signal.SIGSTOP])
@pytest.mark.parametrize("victim", [0, 1, 2])
def test_without_restarts_all_end_in_time_and_name_the_missing(
    fault, victim, flags, tmp_path, table
):
    run, addresses = tmp_path / "run", [f"127.0.0.1:{port}" for port in free_ports(3)]
    processes = start([*flags, "--epochs=999", f"--workdir={run}"], tmp_path, addresses, [[]] * 3)
    wait_until(lambda: len(checkpoints(run)) > 1)
    os.kill(processes[victim].pid, fault)
    left, began = checkpoints(run)[-1], time.monotonic()
    others = [index for index in range(3) if index != victim]
    for index in others:
        assert processes[index].wait(END_WITHIN) == 76, sentence(tmp_path, index)
        assert named(sentence(tmp_path, index)) == {victim}
        assert addresses[victim] in sentence(tmp_path, index)
    seconds = time.monotonic() - began
    if fault == signal.SIGSTOP:  # Once it wakes, it finds the others gone.
        os.kill(processes[victim].pid, signal.SIGCONT)
        assert processes[victim].wait(END_WITHIN) == 76
        assert named(sentence(tmp_path, victim)) == set(others)
    else:
        processes[victim].wait()
    assert checkpoints(run)[-1] >= left
    table(f"{fault.name}, no restart", f"worker {victim}", f"{seconds:.1f} s",
          sentence(tmp_path, others[0])[:90])  # fmt: skip


@pytest.fixture(scope="module")
def network():
    with Network(3) as made:
        yield made


def test_workers_that_are_cut_off_end_and_go_on_together(flags, tmp_path, table, network):
    flags = [*flags, "--epochs=8"]
    whole, cut = tmp_path / "whole", tmp_path / "cut"
    addresses = [f"{host}:5000" for host in network.hosts]
    prefixes = network.prefixes
    undisturbed = start([*flags, f"--workdir={whole}"], tmp_path, addresses, prefixes)
    assert [process.wait(400) for process in undisturbed] == [0] * 3
    for victim in (0, 1, 2, 1):
        processes = start([*flags, f"--workdir={cut}"], tmp_path, addresses, prefixes)
        before = checkpoints(cut)
        wait_until(lambda before=before: checkpoints(cut) != before)
        network.cut(victim)
        began = time.monotonic()
        codes = [process.wait(END_WITHIN + 30) for process in processes]
        network.mend(victim)
        assert codes == [76] * 3, [sentence(tmp_path, index) for index in range(3)]
        others = {0, 1, 2} - {victim}
        assert named(sentence(tmp_path, victim)) == others
        assert all(named(sentence(tmp_path, index)) == {victim} for index in others)
        table("network cut", f"worker {victim}", f"{time.monotonic() - began:.1f} s",
              sentence(tmp_path, min(others))[:90])  # fmt: skip
    again = start([*flags, f"--workdir={cut}"], tmp_path, addresses, prefixes)
    assert [process.wait(400) for process in again] == [0] * 3
    assert_same_run(cut, whole)
    table("all cuts", "", checkpoints(cut)[-1], "same weights, bit for bit")


def test_sigterm_to_all_is_a_checkpoint_and_a_code_for_requeueing(flags, tmp_path):
    flags = [*flags, "--epochs=6"]
    whole, stopped = tmp_path / "whole", tmp_path / "stopped"
    assert launch([*flags, f"--workdir={whole}"], tmp_path / "whole.log").wait(400) == 0
    again = [*flags, f"--workdir={stopped}"]
    job = launch(again, tmp_path / "stopped.log", "--max_restarts=3")
    wait_until(lambda: len(checkpoints(stopped)) > 1)
    job.send_signal(signal.SIGTERM)
    assert job.wait(60) == 75
    assert json.loads((stopped / "status.json").read_text())["status"] == "preempted"
    assert launch(again, tmp_path / "again.log").wait(400) == 0
    assert_same_run(stopped, whole)
