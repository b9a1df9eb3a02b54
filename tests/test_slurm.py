"""launch/slurm/train.sbatch, as it stands, on a cluster of two nodes."""

import contextlib
import functools
import json
import os
import pathlib
import subprocess
import sys
import time

import pytest

from tests.conftest import ROOT
from tests.support.processes import wait_until
from tests.support.slurm import Slurm
from tests.support.trainings import assert_same_run

SBATCH = ROOT / "launch" / "slurm" / "train.sbatch"
# Half a minute, to be interrupted. Deterministic, so that what is resumed ends with the same bits.
TRAIN = ("--model=lenet", "--recipe=strong", "--deterministic", "--epochs=100")
_SECONDS_OF_REVOKED = 10

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def slurm(tmp_path_factory):
    # The programs of this environment come first, as in a shell where it is active.
    path = os.environ["PATH"]
    os.environ["PATH"] = f"{pathlib.Path(sys.executable).parent}:{path}"
    with Slurm(tmp_path_factory.mktemp("slurm")) as cluster:
        yield cluster
    os.environ["PATH"] = path


@pytest.fixture(scope="module")
def alone(data_dir, tmp_path_factory):
    """The run that nothing interrupts, as two workers of one machine."""
    run = tmp_path_factory.mktemp("alone") / "run"
    command = [sys.executable, "-m", "launch.local", "--num_workers=2", "--"]
    command += [sys.executable, "-m", "trainer.main", "--strategy=multi_worker", *TRAIN]
    flags = [f"--data_dir={data_dir}", f"--workdir={run}"]
    subprocess.run([*command, *flags], cwd=ROOT, check=True)  # noqa: S603
    return run


class Job:
    """A training that was submitted."""

    def __init__(self, slurm, data_dir, folder, *words, flags=TRAIN):
        self._slurm, self.run = slurm, folder / "run"
        self._log, self._hastened = folder / "log", 0
        self.number = slurm.submit(
            "--nodes=2", "--cpus-per-task=2", f"--output={self._log}", *words, SBATCH,
            *flags, f"--data_dir={data_dir}", f"--workdir={self.run}", folder=ROOT,
        )  # fmt: skip

    @property
    def log(self):
        return self._log.read_text() if self._log.exists() else ""

    @property
    def state(self):
        return self._slurm.job(self.number)

    @property
    def minutes(self):
        """Whole minutes that it has run for, below an hour."""
        return int(self.state["RunTime"].split(":")[1])

    def set_time_limit(self, minutes):
        self._slurm.call("scontrol", "update", f"JobId={self.number}", f"TimeLimit={minutes}")

    def wait_for_epoch(self, number):
        metrics = self.run / "metrics.jsonl"
        wait_until(lambda: metrics.exists() and len(metrics.read_text().splitlines()) >= number)

    def wait_for_restart(self):
        wait_until(lambda: int(self.state["Restarts"]))

    def _has_ended(self):
        state = self.state
        if state["JobState"] == "PENDING" and int(state["Restarts"]) > self._hastened:
            # A job that was queued again may begin two minutes later; nobody waits here. But SLURM
            # revokes the credentials of its last start for some seconds.
            time.sleep(_SECONDS_OF_REVOKED)
            with contextlib.suppress(AssertionError):
                self._slurm.call("scontrol", "update", f"JobId={self.number}", "StartTime=now")
                self._hastened = int(state["Restarts"])
        return state["JobState"] in ("COMPLETED", "FAILED", "CANCELLED", "TIMEOUT", "NODE_FAIL")

    def wait(self):
        """Waits for the job's end, however often it is queued again; returns its exit code."""
        wait_until(self._has_ended, seconds=500)
        return int(self.state["ExitCode"].split(":")[0])


@pytest.fixture
def submit(slurm, data_dir, tmp_path):
    yield functools.partial(Job, slurm, data_dir, tmp_path)
    # A job that a failed test left would keep the next one waiting.
    slurm.call("scancel", "--user=root")


def test_two_nodes_train_as_one_process_does(submit, alone, data_dir, tmp_path):
    job = submit()
    assert job.wait() == 0, job.log
    assert job.state["Restarts"] == "0"
    assert_same_run(job.run, alone)
    one = tmp_path / "one"
    command = [sys.executable, "-m", "trainer.main", "--strategy=one_device", *TRAIN]
    flags = [f"--data_dir={data_dir}", f"--workdir={one}"]
    subprocess.run([*command, *flags], cwd=ROOT, check=True)  # noqa: S603
    # Rounding differs, and what it does grows with every step.
    losses = [
        [json.loads(line)["loss"] for line in (run / "metrics.jsonl").open()][:5]
        for run in (job.run, one)
    ]
    assert losses[0] == pytest.approx(losses[1], rel=1e-4)


def test_at_its_time_limit_a_job_is_queued_again_and_goes_on(submit, alone):
    job = submit("--time=60", "--signal=TERM@50")
    job.wait_for_epoch(1)
    job.set_time_limit(job.minutes + 1)
    job.wait_for_restart()
    # Once is enough: a loaded machine would need a dozen restarts.
    job.set_time_limit(60)
    assert job.wait() == 0, job.log
    assert "as requested; the same command resumes from there" in job.log
    assert "resuming after epoch" in job.log
    assert_same_run(job.run, alone)


def test_a_signal_makes_a_checkpoint_and_the_job_goes_on(submit, slurm, alone):
    job = submit()
    job.wait_for_epoch(2)
    slurm.call("scancel", "--signal=TERM", str(job.number))
    job.wait_for_restart()
    assert job.wait() == 0, job.log
    assert "as requested; the same command resumes from there" in job.log
    assert "resuming after epoch" in job.log
    assert_same_run(job.run, alone)


def test_a_job_that_lost_a_node_ends_the_same(submit, slurm, alone):
    job = submit()
    job.wait_for_epoch(2)
    slurm.lose_node("node2")
    wait_until(lambda: slurm.state_of("node2").startswith("DOWN"))
    job.wait_for_restart()
    slurm.start_node("node2")
    assert job.wait() == 0, job.log
    assert_same_run(job.run, alone)


def test_a_mistake_is_not_queued_again(submit):
    job = submit(flags=("--model=lenet", "--learning_rate=-1"))
    assert job.wait() == 2, job.log
    assert job.state["Restarts"] == "0"
    assert "error: " in job.log
    assert not (job.run / "status.json").exists() or json.loads(
        (job.run / "status.json").read_text()
    )
