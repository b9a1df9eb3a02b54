import resource
import subprocess
import sys

import keras
import numpy as np
import pytest

from tests.conftest import ROOT
from trainer.errors import UserError
from trainer.training.checkpoint import Checkpoints, read_progress, restore
from trainer.training.progress import Progress


def make_state(seed):
    keras.utils.set_random_seed(seed)
    model = keras.Sequential([keras.Input((300,)), keras.layers.Dense(20)])
    optimizer = keras.optimizers.Adam(0.1)
    optimizer.build(model.trainable_variables)
    return {"model": model, "optimizer": optimizer}


def save_epochs(checkpoints, losses, state=None):
    """Saves a checkpoint after each of the epochs; returns the progress after the last."""
    state, progress = state or make_state(seed=0), Progress()
    for loss in losses:
        progress.finish_epoch(loss)
        checkpoints.save(state, progress)
    return progress


def test_restoring_brings_back_model_optimizer_and_progress(tmp_path):
    state = make_state(seed=0)
    state["optimizer"].apply([np.ones((300, 20), "float32"), np.ones(20, "float32")])
    checkpoints = Checkpoints(tmp_path)
    progress = save_epochs(checkpoints, [0.5], state)

    other = make_state(seed=1)
    newest = Checkpoints(tmp_path).newest_whole()
    restore(newest, other)
    assert read_progress(newest) == progress
    for name in state:
        for mine, saved in zip(other[name].variables, state[name].variables, strict=True):
            np.testing.assert_array_equal(mine.numpy(), saved.numpy())


def test_nothing_to_restore_is_none(tmp_path):
    assert Checkpoints(tmp_path / "none").newest_whole() is None


def test_the_newest_two_and_the_best_are_kept(tmp_path):
    save_epochs(Checkpoints(tmp_path), [0.9, 0.4, 0.8, 0.7, 0.6])
    kept = sorted(read_progress(path).epochs for path in tmp_path.iterdir())
    assert kept == [2, 4, 5]


def test_steps_within_an_epoch_come_before_its_end(tmp_path):
    checkpoints, state, progress = Checkpoints(tmp_path), make_state(seed=0), Progress()
    progress.finish_epoch(0.5)
    for steps in (9, 1):
        progress.finish_steps(steps, np.zeros(7, np.int64))
        checkpoints.save(state, progress)
    assert read_progress(checkpoints.newest_whole()).step == 10
    progress.finish_epoch(0.4)
    checkpoints.save(state, progress)
    assert read_progress(checkpoints.newest_whole()) == progress


@pytest.mark.parametrize("file", ["state.data-00000-of-00001", "state.index", "progress.json"])
@pytest.mark.parametrize("damage", ["truncated", "changed", "missing"])
def test_a_damaged_checkpoint_is_passed_over_for_the_one_before(tmp_path, caplog, file, damage):
    if (file, damage) == ("progress.json", "changed"):
        pytest.skip("a changed number in a text is no damage that could be found")
    checkpoints = Checkpoints(tmp_path)
    save_epochs(checkpoints, [0.5, 0.4])
    newest = checkpoints.newest_whole()
    content = bytearray((newest / file).read_bytes())
    if damage == "missing":
        (newest / file).unlink()
    elif damage == "truncated":
        (newest / file).write_bytes(content[: len(content) // 2])
    else:
        content[len(content) // 2] ^= 0xFF
        (newest / file).write_bytes(content)
    whole = checkpoints.newest_whole()
    assert read_progress(whole).epochs == 1
    assert f"{newest} is damaged" in caplog.text
    save_epochs(checkpoints, [0.5, 0.3])  # Where the damaged one was, a whole one comes.
    assert read_progress(checkpoints.newest_whole()).best_loss == 0.3


def test_a_half_written_checkpoint_is_not_seen(tmp_path):
    checkpoints = Checkpoints(tmp_path)
    save_epochs(checkpoints, [0.5])
    (tmp_path / "partial").mkdir()
    (tmp_path / "partial" / "state.index").write_bytes(b"half")
    assert read_progress(checkpoints.newest_whole()).epochs == 1
    save_epochs(checkpoints, [0.5, 0.4])
    assert not (tmp_path / "partial").exists()


def test_a_worker_that_is_not_the_chief_writes_nothing(tmp_path):
    save_epochs(Checkpoints(tmp_path / "run", writes=False), [0.5, 0.4])
    assert not (tmp_path / "run").exists()


FULL_DISK = """
import resource, signal, sys
from tests.test_checkpoint import Checkpoints, Progress, make_state, save_epochs
checkpoints, state = Checkpoints(__import__("pathlib").Path(sys.argv[1])), make_state(seed=0)
progress = save_epochs(checkpoints, [0.5], state)
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, resource.RLIM_INFINITY))
progress.finish_epoch(0.4)
try:
    checkpoints.save(state, progress)
except Exception as error:
    print(type(error).__name__, error)
"""


def test_a_checkpoint_that_cannot_be_written_leaves_the_earlier_one(tmp_path):
    # A limit on the size of files stands for a full disk; the drills fill a real one.
    assert resource.RLIMIT_FSIZE
    done = subprocess.run(  # noqa: S603
        [sys.executable, "-c", FULL_DISK, str(tmp_path)],
        cwd=ROOT, capture_output=True, text=True, timeout=120,
    )  # fmt: skip
    assert done.stdout.startswith(UserError.__name__), done.stdout + done.stderr
    assert "earlier ones are intact" in done.stdout
    assert [read_progress(path).epochs for path in tmp_path.iterdir()] == [1]
    assert read_progress(Checkpoints(tmp_path).newest_whole()).epochs == 1
