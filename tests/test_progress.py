import dataclasses
import json

import numpy as np
import pytest

from trainer.errors import Damaged
from trainer.training.progress import Progress


def test_the_first_of_the_lowest_losses_is_the_best():
    progress = Progress()
    losses = [0.9, 0.7, 0.8, 0.7, 0.71]
    assert [progress.finish_epoch(loss) for loss in losses] == [True, True, False, False, False]
    assert (progress.epochs, progress.best_epoch, progress.best_loss) == (5, 2, 0.7)
    assert progress.epochs_since_best == 3


def test_a_phase_begins_with_full_patience_and_keeps_the_best():
    progress = Progress()
    for loss in (0.5, 0.6):
        progress.finish_epoch(loss)
    progress.begin_phase(1)
    assert (progress.phase, progress.phase_epochs, progress.epochs_since_best) == (1, 0, 0)
    progress.finish_epoch(0.55)
    assert (progress.epochs, progress.phase_epochs, progress.best_epoch) == (3, 1, 1)
    assert progress.epochs_since_best == 1


def test_writing_and_reading_loses_nothing(tmp_path):
    progress = Progress()
    progress.finish_epoch(1 / 3)
    progress.finish_steps(7, np.array([2**53 + 1, 0, 5], np.int64))
    progress.write(tmp_path / "progress.json")
    assert Progress.read(tmp_path / "progress.json") == progress


GOOD = dataclasses.asdict(Progress(0, 1, 1, 2, [1, 2, 3], 1, 0.5, 0))


@pytest.mark.parametrize(
    "changed",
    [
        {"step": -5}, {"phase": -1}, {"epochs": "x"}, {"epochs": 1.5}, {"epochs": 0},
        {"best_epoch": 2}, {"best_epoch": None}, {"best_loss": None}, {"best_loss": float("nan")},
        {"train_sums": ["a"]}, {"train_sums": 3}, {"phase_epochs": 2}, {"step": 2**63 * 1.0},
    ],
)  # fmt: skip
def test_what_no_run_writes_is_damaged(tmp_path, changed):
    path = tmp_path / "progress.json"
    path.write_text(json.dumps(GOOD))
    assert dataclasses.asdict(Progress.read(path)) == GOOD
    path.write_text(json.dumps(GOOD | changed))
    with pytest.raises(Damaged, match="progress.json is damaged"):
        Progress.read(path)


def test_an_empty_object_is_damaged(tmp_path):
    (tmp_path / "progress.json").write_text("{}")
    with pytest.raises(Damaged, match="'phase' is missing"):
        Progress.read(tmp_path / "progress.json")


@pytest.mark.parametrize(
    ("epochs", "steps", "sums", "named"),
    [([], 9, 3, "phase 1 of 0"), ([0], 9, 3, "epoch 1 of a phase of 0"),
     ([1], 1, 3, "step 2 of an epoch of 1"), ([1], 3, 4, "3 sums, expected 4")],
)  # fmt: skip
def test_a_place_where_the_training_never_stands_is_damaged(epochs, steps, sums, named):
    with pytest.raises(Damaged, match=named):
        Progress(**GOOD).require_fit(epochs, steps, sums)
    for steps in (2, 3):  # After the last step, validation may have been stopped.
        Progress(**GOOD).require_fit([1], steps, 3)
