import functools
import json
import os
import signal
import socket
import subprocess
import sys

import keras
import numpy as np
import pytest
import tensorflow as tf

from tests.conftest import ROOT, run_command, run_on
from tests.support import trainings
from tests.support.devices import KINDS
from tests.support.forked_commands import bare_machine
from tests.support.other_dataset import CLASSES, SIZES, OtherImages
from tests.support.processes import wait_until
from tests.support.trainings import PLACED, TRAIN, assert_same_run
from trainer.run import Run


def test_a_run_leaves_what_it_promises(finished_run):
    content = json.loads((finished_run / "config.json").read_text())
    assert content["hardware"] == {
        "devices": ["/cpu:0", "/cpu:1"], "replicas": 2, "precision": "float32", "xla": False,
        "xla_update": True, "collective": "ring", "reduce_precision": "float32", "workers": 1,
    }  # fmt: skip
    assert content["config"]["epochs"] == 2
    saved = keras.models.load_model(finished_run / "model.keras")
    weights = sum(int(np.prod(weight.shape)) for weight in saved.weights)
    assert content["parameters"] == {"total": weights, "trainable": weights}
    rows = [json.loads(line) for line in (finished_run / "metrics.jsonl").open()]
    assert [row["epoch"] for row in rows] == [1, 2]
    status = json.loads((finished_run / "status.json").read_text())
    losses = [row["validation_loss"] for row in rows]
    expected = {
        "status": "done", "best_epoch": 1 + int(np.argmin(losses)),
        "best_validation_loss": min(losses), "error": None, "host": socket.gethostname(),
    }  # fmt: skip
    assert expected.items() <= status.items()
    assert status.keys() - expected.keys() == {"process_id", "last_sign_of_life"}
    assert not (finished_run / "lock").exists()
    assert list((finished_run / "checkpoints").glob("epoch-00002-*/state.npz"))


def test_the_saved_model_is_the_best_epochs(finished_run, dataset):
    from trainer.data.example_stream import read_examples

    examples = read_examples(dataset, "validation", cache="off", shuffle_seed=None)
    (batch,) = examples.one_pass(examples.size)
    probabilities = keras.models.load_model(finished_run / "model.keras")(batch["image"])
    loss = keras.losses.sparse_categorical_crossentropy(batch["label"], probabilities)
    status = json.loads((finished_run / "status.json").read_text())
    assert float(tf.reduce_mean(loss)) == pytest.approx(status["best_validation_loss"], rel=1e-3)


def test_the_same_command_again_only_reports(finished_run, data_dir):
    before = (finished_run / "metrics.jsonl").read_text()
    run_command(
        "trainer.main", "--model=lenet", "--recipe=seed", "--input_pooling=4",
        "--strategy=mirrored", "--virtual_devices=2",
        "--epochs=2", f"--data_dir={data_dir}", f"--workdir={finished_run}",
    )  # fmt: skip
    assert (finished_run / "metrics.jsonl").read_text() == before


# Pooled, a radiograph makes a network of a twentieth of the weights.
SMALL = [*TRAIN, "--input_pooling=4"]
# After the first epoch there are seven in which to end it.
UNPLACED = [
    "--model=lenet", "--recipe=seed", "--deterministic", "--input_pooling=4", "--epochs=8",
    "--patience=8", "--ema_momentum=0.9", "--schedule=cosine", "--clip_norm=100", "--dropout=0.3",
    "--rotation=5", "--contrast=0.1", "--erasing=0.5",
]  # fmt: skip
EXACT = [*UNPLACED, *PLACED["cpu"]]


@pytest.fixture(scope="module")
def undisturbed(data_dir, tmp_path_factory):
    """Gives a deterministic run on devices of a kind, which nothing interrupted."""

    @functools.cache
    def run(kind):
        workdir = tmp_path_factory.mktemp("undisturbed") / "run"
        flags = [*UNPLACED, *PLACED[kind], f"--data_dir={data_dir}", f"--workdir={workdir}"]
        run_on(kind, "trainer.main", *flags)
        return workdir

    return run


@pytest.fixture
def undisturbed_run(undisturbed):
    return undisturbed("cpu")


def start_on(kind, *flags):
    """Starts a training on devices of a kind; a fork has no GPUs."""
    if kind == "gpu":
        return trainings.start(*flags)
    return bare_machine().start("trainer.main", flags, ROOT)


@pytest.mark.parametrize("kind", KINDS)
def test_a_killed_run_goes_on_and_ends_as_if_never_interrupted(
    kind, data_dir, undisturbed, tmp_path
):
    whole = undisturbed(kind)
    flags = [*UNPLACED, *PLACED[kind], f"--data_dir={data_dir}", f"--workdir={tmp_path}/run"]
    process = start_on(kind, *flags)
    wait_until(lambda: list((tmp_path / "run/checkpoints").glob("epoch-*")), process)
    os.kill(process.pid, signal.SIGKILL)
    process.wait()
    assert Run(tmp_path / "run").state() == "stale"
    assert "resuming after epoch" in run_on(kind, "trainer.main", *flags)
    assert_same_run(tmp_path / "run", whole)


@pytest.mark.parametrize(
    "number",
    [
        signal.SIGTERM,
        pytest.param(signal.SIGHUP, marks=pytest.mark.slow),
        pytest.param(signal.SIGINT, marks=pytest.mark.slow),
    ],
)
def test_a_signal_saves_the_step_and_the_same_command_goes_on(
    number, data_dir, undisturbed_run, tmp_path
):
    run = tmp_path / "run"
    flags = [*EXACT, f"--data_dir={data_dir}", f"--workdir={run}"]
    process = start_on("cpu", *flags)
    wait_until(lambda: (run / "metrics.jsonl").exists(), process)
    os.kill(process.pid, number)
    _, said = process.communicate(timeout=120)
    assert process.returncode == 75, said
    assert "stopped: after step" in said
    assert "Traceback" not in said
    assert json.loads((run / "status.json").read_text())["status"] == "preempted"
    run_command("trainer.main", *flags)
    assert json.loads((run / "status.json").read_text())["status"] == "done"
    assert_same_run(run, undisturbed_run)


def test_a_second_training_in_one_directory_is_refused_and_changes_nothing(data_dir, tmp_path):
    run = tmp_path / "run"
    flags = [*SMALL, "--epochs=300", "--patience=300", f"--data_dir={data_dir}", f"--workdir={run}"]
    process = start_on("cpu", *flags)
    wait_until(lambda: list((run / "checkpoints").glob("epoch-*")), process)
    said = run_command("trainer.main", *flags, code=2)
    (sentence,) = [line for line in said.splitlines() if line.startswith("error: ")]
    assert f"is in use by process {process.pid} on {socket.gethostname()}" in sentence
    assert "give another --workdir" in sentence
    assert Run(run).state() == "running"
    assert Run(run).read_status()["process_id"] == process.pid
    os.kill(process.pid, signal.SIGTERM)
    _, said = process.communicate(timeout=120)
    assert process.returncode == 75, said


def test_a_loss_that_is_not_finite_ends_the_run_and_says_where(data_dir, tmp_path):
    run = tmp_path / "run"
    said = run_command(
        "trainer.main", *SMALL, "--learning_rate=1e30", f"--data_dir={data_dir}",
        f"--workdir={run}", code=3,
    )  # fmt: skip
    (sentence,) = [line for line in said.splitlines() if line.startswith("error: ")]
    assert "not finite at step 2 of epoch 1, at learning rate 1e+30" in sentence
    assert "The last good checkpoint is none" in sentence
    assert json.loads((run / "status.json").read_text())["status"] == "diverged"


OTHER_WORKER = """
from trainer import main

claimed = main.claimed
main.claimed = lambda workdir, model, writes: claimed(workdir, model, writes=False)
main.start()
"""


def test_a_worker_that_is_not_the_chief_trains_and_writes_nothing(data_dir, tmp_path):
    run = tmp_path / "run"
    flags = [
        *SMALL, "--epochs=1", "--checkpoint_steps=1", "--profile_steps=1:2",
        f"--data_dir={data_dir}", f"--workdir={run}",
    ]  # fmt: skip
    said = run_command("-c", OTHER_WORKER, *flags)
    assert "epoch 1/1  loss" in said
    assert list(tmp_path.iterdir()) == []


OUT_OF_MEMORY = """
import tensorflow as tf
from trainer import main
from trainer.training.engine import Engine

def train(self, batches, steps):
    text = "Graph execution error:\\n\\nOOM when allocating tensor with shape[16,32]"
    raise tf.errors.ResourceExhaustedError(None, None, text)

Engine.train = train
main.start()
"""


def test_a_lack_of_memory_names_the_batch_and_what_to_lower(data_dir, tmp_path):
    run = tmp_path / "run"
    flags = [*SMALL, f"--data_dir={data_dir}", f"--workdir={run}"]
    said = run_command("-c", OUT_OF_MEMORY, *flags, code=2)
    (sentence,) = [line for line in said.splitlines() if line.startswith("error: ")]
    assert "not enough memory to train lenet with --global_batch_size=16 on 2 repl" in sentence
    assert "(OOM when allocating tensor with shape[16,32]); lower --global_batch_size" in sentence
    assert "raise --accumulation_steps" in sentence
    assert "Traceback" not in said
    status = json.loads((run / "status.json").read_text())
    assert (status["status"], status["error"]) == ("failed", sentence.removeprefix("error: "))


@pytest.mark.slow
def test_a_log_that_nobody_reads_ends_no_training(data_dir, undisturbed_run, tmp_path):
    closed, left = tmp_path / "closed", tmp_path / "left"
    flags = [*EXACT, f"--data_dir={data_dir}"]
    command = [sys.executable, "-m", "trainer.main", *flags, f"--workdir={closed}"]
    done = subprocess.run(["sh", "-c", 'exec "$0" "$@" 2>&-', *command], cwd=ROOT, timeout=300)  # noqa: S603, S607
    assert done.returncode == 0
    process = start_on("cpu", *flags, f"--workdir={left}")
    process.stderr.readline()
    process.stderr.close()
    assert process.wait(300) == 0
    for run in (closed, left):
        assert_same_run(run, undisturbed_run)


def test_a_dataset_of_other_classes_is_trained_on_and_judged(tmp_path):
    OtherImages(data_dir=tmp_path / "data").download_and_prepare()
    run, report = tmp_path / "run", tmp_path / "report"
    run_command(
        "trainer.main", "--model=lenet", "--dataset=other_images", "--epochs=1", "--seed=1",
        f"--data_dir={tmp_path}/data", f"--workdir={run}",
    )  # fmt: skip
    content = json.loads((run / "config.json").read_text())
    assert content["dataset"]["class_names"] == list(CLASSES)
    assert content["dataset"]["train_examples"] == SIZES["train"]
    assert keras.models.load_model(run / "model.keras").output.shape == (None, 3)
    run_command("trainer.evaluate", f"--workdir={run}", f"--output_dir={report}")
    assert json.loads((report / "report.json").read_text())["class_names"] == list(CLASSES)
