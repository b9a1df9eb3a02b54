"""Whole commands on a GPU; beside them, daily, on the processor.

The steps of a training are compared in test_engine.py, a killed run in test_main.py: there, too,
`pytest -m gpu` takes the GPU.
"""

import json
import subprocess
import sys

import pytest
import tensorflow as tf

from tests.conftest import ROOT, run_on
from tests.support.devices import KINDS
from tests.support.trainings import PLACED

pytestmark = pytest.mark.parametrize("kind", KINDS)
# Autotuning tries convolutions that take memory of their own.
WORKSPACE = {"cpu": 2**28, "gpu": 2**30}


@pytest.mark.parametrize("precision", ["mixed_bfloat16", "mixed_float16"])
def test_lenet_learns_phantoms_with_xla(precision, kind, small_phantoms, tmp_path):
    run_on(
        kind, "trainer.main", "--model=lenet", "--recipe=seed", "--scaling=torch", "--xla=on",
        *PLACED[kind], f"--precision={precision}", "--epochs=12", "--patience=12",
        "--dataset=small_phantoms", f"--data_dir={small_phantoms}", f"--workdir={tmp_path}/run",
    )  # fmt: skip
    content = json.loads((tmp_path / "run" / "config.json").read_text())
    assert content["hardware"]["precision"] == precision and content["hardware"]["xla"]
    assert all(device.startswith(f"/{kind}:") for device in content["hardware"]["devices"])
    rows = [json.loads(line) for line in (tmp_path / "run" / "metrics.jsonl").open()]
    print([row["validation_accuracy"] for row in rows])
    assert max(row["validation_accuracy"] for row in rows) > 0.7


def test_doctor_says_whether_training_on_gpus_is_possible(kind, tmp_path):
    said = run_on(kind, "trainer.doctor", f"--workdir={tmp_path}", code=0 if kind == "gpu" else 2)
    assert f"Training on GPUs is {'possible.' if kind == 'gpu' else 'not possible: '}" in said
    names = [
        tf.config.experimental.get_device_details(gpu)["device_name"]
        for gpu in tf.config.list_physical_devices("GPU")
    ]
    for told in names if kind == "gpu" else ["no driver and no GPU"]:
        assert told in said


@pytest.mark.parametrize("batch_size", [8, 32])
def test_memory_is_bounded_by_the_weights_and_the_batch(batch_size, kind):
    command = [sys.executable, "-m", "tests.support.peak_memory", kind, str(batch_size)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=300)  # noqa: S603
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout.splitlines()[-1])
    print(found)
    assert 0 < found["taken"] < found["expected"] + WORKSPACE[kind]
    assert all(found["grows"])
