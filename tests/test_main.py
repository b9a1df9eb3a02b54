import json
import os
import signal
import subprocess
import sys
import time

import keras
import numpy as np
import pytest
import tensorflow as tf

from tests.conftest import ROOT, run_command

TRAIN = ("--model=lenet", "--strategy=mirrored", "--virtual_devices=2", "--deterministic")


def test_a_run_leaves_what_it_promises(finished_run):
    content = json.loads((finished_run / "config.json").read_text())
    assert content["hardware"] == {
        "devices": ["/cpu:0", "/cpu:1"], "replicas": 2, "precision": "float32", "xla": False,
    }  # fmt: skip
    assert content["config"]["epochs"] == 2
    assert content["parameters"]["total"] == 23_907_908
    rows = [json.loads(line) for line in (finished_run / "metrics.jsonl").open()]
    assert [row["epoch"] for row in rows] == [1, 2]
    status = json.loads((finished_run / "status.json").read_text())
    losses = [row["validation_loss"] for row in rows]
    assert status == {
        "status": "done", "best_epoch": 1 + int(np.argmin(losses)),
        "best_validation_loss": min(losses),
    }  # fmt: skip
    assert list((finished_run / "checkpoints").glob("ckpt-2.index"))


def test_tensorboard_holds_every_scalar_of_every_epoch(finished_run):
    seen = {}
    for curve in ("train", "validation"):
        (file,) = (finished_run / "tensorboard" / curve).iterdir()
        for event in tf.compat.v1.train.summary_iterator(str(file)):
            for value in event.summary.value:
                seen[curve, value.tag, event.step] = float(tf.make_ndarray(value.tensor))
    for row in map(json.loads, (finished_run / "metrics.jsonl").open()):
        for tag in ("loss", "accuracy", "learning_rate", "images_per_second", "input_wait"):
            assert seen["train", tag, row["epoch"]] == pytest.approx(row[tag], rel=1e-6)
        for tag in ("loss", "accuracy"):
            name = f"validation_{tag}"
            assert seen["validation", tag, row["epoch"]] == pytest.approx(row[name], rel=1e-6)


def test_the_saved_model_is_the_best_epochs(finished_run, dataset):
    from trainer.data.input import read_examples

    examples = read_examples(dataset, "validation", cache="memory", shuffle_seed=None)
    (batch,) = examples.one_pass(examples.size)
    probabilities = keras.models.load_model(finished_run / "model.keras")(batch["image"])
    loss = keras.losses.sparse_categorical_crossentropy(batch["label"], probabilities)
    status = json.loads((finished_run / "status.json").read_text())
    assert float(tf.reduce_mean(loss)) == pytest.approx(status["best_validation_loss"], rel=1e-3)


def test_the_same_command_again_only_reports(finished_run, data_dir):
    before = (finished_run / "metrics.jsonl").read_text()
    run_command(
        "trainer.main", "--model=lenet", "--strategy=mirrored", "--virtual_devices=2",
        "--epochs=2", f"--data_dir={data_dir}", f"--workdir={finished_run}",
    )  # fmt: skip
    assert (finished_run / "metrics.jsonl").read_text() == before


def test_a_killed_run_goes_on_and_ends_as_if_never_interrupted(data_dir, tmp_path):
    flags = [*TRAIN, "--epochs=3", f"--data_dir={data_dir}"]
    whole, killed = tmp_path / "whole", tmp_path / "killed"
    run_command("trainer.main", *flags, f"--workdir={whole}")

    command = [sys.executable, "-m", "trainer.main", *flags, f"--workdir={killed}"]
    process = subprocess.Popen(command, cwd=ROOT, stderr=subprocess.DEVNULL)  # noqa: S603
    while not (killed / "checkpoints" / "checkpoint").exists():
        assert process.poll() is None, "the run ended before its first checkpoint"
        time.sleep(0.05)
    os.kill(process.pid, signal.SIGKILL)
    process.wait()
    said = run_command("trainer.main", *flags, f"--workdir={killed}")
    assert "going on after epoch" in said

    timeless = ("epoch", "loss", "accuracy", "validation_loss", "validation_accuracy")
    rows = [
        [[json.loads(line)[key] for key in timeless] for line in (run / "metrics.jsonl").open()]
        for run in (whole, killed)
    ]
    assert rows[0] == rows[1]
    newest = [tf.train.load_checkpoint(str(run / "checkpoints")) for run in (whole, killed)]
    for name, shape in newest[0].get_variable_to_shape_map().items():
        if shape or "kernel" in name:
            np.testing.assert_array_equal(*(c.get_tensor(name) for c in newest), err_msg=name)


@pytest.mark.parametrize(
    ("flags", "said"),
    [
        (["--data_dir=/nowhere"], "/nowhere does not exist"),
        (["--data_dir={tmp}"], "holds no built dataset covid19_radiography/224x224"),
        (["--model=alexnet"], "alexnet"),
        (["--data_dir={data}", "--virtual_devices=3"], "16 does not divide by the 3 replicas"),
        (["--data_dir={data}", "--workdir={file}/run"], "cannot be written to"),
        (["--data_dir={data}", "--epochs=0"], "--epochs=0"),
        (["--data_dir={data}", "--model=lenet", "--weights=imagenet"], "--weights=none"),
        (["--data_dir={data}", "--profile_steps=9:3"], "--profile_steps=9:3"),
        (["--batch=3"], "Unknown command line flag 'batch'"),
        (["spare"], "unexpected argument 'spare'"),
    ],
)
def test_a_users_mistake_is_one_sentence_and_exit_code_2(flags, said, data_dir, tmp_path):
    (tmp_path / "file").touch()
    filled = [flag.format(tmp=tmp_path, data=data_dir, file=tmp_path / "file") for flag in flags]
    stderr = run_command("trainer.main", "--model=lenet", *filled, code=2)
    (sentence,) = [line for line in stderr.splitlines() if line.startswith("error: ")]
    assert said in sentence
    assert "Traceback" not in stderr


def test_a_run_of_another_configuration_is_refused_with_the_differences(finished_run, data_dir):
    said = run_command(
        "trainer.main", "--model=lenet", "--strategy=mirrored", "--virtual_devices=2", "--seed=5",
        "--epochs=2", f"--data_dir={data_dir}", f"--workdir={finished_run}", code=2,
    )  # fmt: skip
    assert "--seed: 0 in the run, 5 now" in said
