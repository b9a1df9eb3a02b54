"""Runs that are killed, starved of disk or stopped in their second phase."""

import json
import os
import random
import signal
import subprocess
import time

import pytest

from tests.conftest import run_command
from tests.support.processes import wait_until
from tests.support.trainings import TRAIN, assert_same_run, start

pytestmark = pytest.mark.slow

KILLS = 20
# Ten steps an epoch, a checkpoint after each: much of the time goes into writing checkpoints.
FLAGS = [
    *TRAIN, "--epochs=4", "--global_batch_size=4", "--checkpoint_steps=1", "--log_steps=2",
    "--optimizer=adamw", "--weight_decay=0.01", "--ema_momentum=0.9", "--schedule=cosine",
    "--warmup_epochs=0.5", "--learning_rate=1e-5",
]  # fmt: skip


def saved(run):
    return sorted(path.name for path in (run / "checkpoints").glob("epoch-*"))


def test_twenty_kills_at_random_moments_change_nothing(data_dir, tmp_path):
    flags = [*FLAGS, f"--data_dir={data_dir}"]
    # A name of which each letter was once taken for something else.
    whole, killed = tmp_path / "whole", tmp_path / "läuf [1] *"
    run_command("trainer.main", *flags, f"--workdir={whole}")
    moments = random.Random(0)  # noqa: S311
    for kill in range(KILLS):
        before = saved(killed)
        process = start(*flags, f"--workdir={killed}")
        if kill % 3:  # Into a step or a checkpoint that is being written ...
            wait_until(lambda before=before: saved(killed) != before, process)
            time.sleep(moments.uniform(0, 2))
        else:  # ... or into the start of the run.
            time.sleep(moments.uniform(0, 12))
        partial = (killed / "checkpoints" / "partial").exists()
        os.kill(process.pid, signal.SIGKILL)
        assert process.wait() == -signal.SIGKILL, "the run ended before it was killed"
        print(f"kill {kill + 1}: half-written {partial}, left {saved(killed)}")
    run_command("trainer.main", *flags, f"--workdir={killed}")
    assert_same_run(killed, whole)


def test_a_second_phase_that_is_stopped_goes_on(data_dir, tmp_path):
    flags = [
        "--model=vgg19", "--weights=none", "--strategy=mirrored", "--virtual_devices=2",
        "--deterministic", "--scaling=torch", "--learning_rate=1e-4", "--epochs=3",
        "--head_epochs=1", "--unfreeze_from=block5", "--fine_tune_learning_rate=1e-5",
        f"--data_dir={data_dir}",
    ]  # fmt: skip
    whole, stopped = tmp_path / "whole", tmp_path / "stopped"
    run_command("trainer.main", *flags, f"--workdir={whole}")
    rows = [json.loads(line) for line in (whole / "metrics.jsonl").open()]
    assert [row["phase"] for row in rows] == ["head", "fine_tune", "fine_tune"]

    process = start(*flags, f"--workdir={stopped}")
    two_epochs = "epoch-00002-step-0000000"
    wait_until(lambda: (stopped / "checkpoints" / two_epochs).exists(), process)
    os.kill(process.pid, signal.SIGTERM)
    _, said = process.communicate(timeout=300)
    assert process.returncode == 75, said
    assert "resuming after epoch 2" in run_command("trainer.main", *flags, f"--workdir={stopped}")
    assert_same_run(stopped, whole)


@pytest.fixture
def small_disk(tmp_path):
    """A file system of 700 MB: enough for two checkpoints of LeNet's, not for three."""
    folder = tmp_path / "small"
    folder.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=700m", "tmpfs", str(folder)]
    if subprocess.run(mount, capture_output=True).returncode:  # noqa: S603
        pytest.skip("only root may mount a small file system")
    yield folder
    subprocess.run(["umount", str(folder)], check=True)  # noqa: S603, S607


def test_a_full_disk_leaves_the_earlier_checkpoint_to_go_on_from(data_dir, small_disk, tmp_path):
    flags = [*TRAIN, "--epochs=3", f"--data_dir={data_dir}"]
    run = small_disk / "run"
    said = run_command("trainer.main", *flags, f"--workdir={run}", code=2)
    (sentence,) = [line for line in said.splitlines() if line.startswith("error: ")]
    print(sentence)
    assert "make room, then run the same command again" in sentence
    assert "Traceback" not in said
    assert not (run / "checkpoints" / "partial").exists()
    assert list((run / "checkpoints").glob("epoch-*"))
    status = json.loads((run / "status.json").read_text())
    assert (status["status"], status["error"]) == ("failed", sentence.removeprefix("error: "))

    elsewhere = tmp_path / "roomy"
    subprocess.run(["cp", "-r", str(run), str(elsewhere)], check=True)  # noqa: S603, S607
    run_command("trainer.main", *flags, f"--workdir={elsewhere}")
    whole = tmp_path / "whole"
    run_command("trainer.main", *flags, f"--workdir={whole}")
    assert_same_run(elsewhere, whole)
