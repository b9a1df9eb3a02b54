"""Trainings on phantoms in their own processes, and the comparison of two of them."""

import subprocess
import sys

import keras
import numpy as np

from tests.conftest import ROOT

# The device of a training, by kind.
PLACED = {
    "cpu": ("--strategy=mirrored", "--virtual_devices=2"),
    "gpu": ("--strategy=one_device", "--require_gpu"),
}
TRAIN = ("--model=lenet", "--recipe=seed", *PLACED["cpu"], "--deterministic")


def start(*flags):
    """Starts a training in its own process."""
    command = [sys.executable, "-m", "trainer.main", *flags]
    return subprocess.Popen(command, cwd=ROOT, stderr=subprocess.PIPE, text=True)  # noqa: S603


def newest_checkpoint(run):
    return sorted((run / "checkpoints").glob("epoch-*"))[-1]


def assert_same_run(ours, theirs):
    """Asserts equal metrics and progress, and bit-identical weights and state."""
    assert (ours / "metrics.jsonl").read_text() == (theirs / "metrics.jsonl").read_text()
    newest = [newest_checkpoint(run) for run in (ours, theirs)]
    assert newest[0].name == newest[1].name
    progress = [(checkpoint / "progress.json").read_text() for checkpoint in newest]
    assert progress[0] == progress[1]
    archives = [np.load(checkpoint / "state.npz") for checkpoint in newest]
    assert archives[0].files == archives[1].files
    for name in archives[0].files:
        np.testing.assert_array_equal(*(archive[name] for archive in archives), err_msg=name)
    models = [keras.models.load_model(run / "model.keras") for run in (ours, theirs)]
    for mine, other in zip(*(model.get_weights() for model in models), strict=True):
        np.testing.assert_array_equal(mine, other)
