import errno
import os
import pathlib
import resource
import threading

import numpy as np
import pytest
import tensorflow as tf

from tests.conftest import ROOT
from tests.support.checkpoints import make_state, save_epochs
from trainer.errors import UserError
from trainer.training import checkpoint
from trainer.training.checkpoint import Checkpoints, read_progress, read_state
from trainer.training.progress import Progress


def shapes_of(state):
    return {name: tensor.shape for name, tensor in state.items()}


def test_restoring_brings_back_state_and_progress(tmp_path):
    state = make_state(seed=7)
    progress = save_epochs(Checkpoints(tmp_path), [0.5], state)
    newest = Checkpoints(tmp_path).newest_whole()
    assert read_progress(newest) == progress
    found = read_state(newest, shapes_of(state))
    assert found.keys() == state.keys()
    for name, tensor in state.items():
        np.testing.assert_array_equal(found[name], tensor.numpy())


def test_a_checkpoint_holds_the_progress_of_when_it_was_saved(tmp_path, monkeypatch):
    checkpoints, progress, moved_on = Checkpoints(tmp_path), Progress(), threading.Event()
    savez = np.savez

    def slowly(*args, **arrays):
        assert moved_on.wait(60)
        savez(*args, **arrays)

    monkeypatch.setattr(np, "savez", slowly)
    progress.finish_epoch(0.5)
    checkpoints.save(lambda: make_state(seed=0), progress)
    progress.finish_steps(3, np.zeros(7, np.int64))
    moved_on.set()
    checkpoints.wait()
    assert read_progress(checkpoints.newest_whole()).step == 0


def test_a_checkpoint_of_another_version_is_refused(tmp_path):
    state = make_state(seed=0)
    save_epochs(Checkpoints(tmp_path), [0.5], state)
    newest = Checkpoints(tmp_path).newest_whole()
    for expected in (shapes_of(state) | {"more": tf.TensorShape([3])}, {}):
        with pytest.raises(UserError, match="another version of this project.*new --workdir"):
            read_state(newest, expected)


def test_a_checkpoint_of_keras_objects_is_refused_and_stays(tmp_path):
    # Earlier versions saved these, with TensorFlow.
    save_epochs(Checkpoints(tmp_path), [0.5])
    (newest,) = tmp_path.iterdir()
    (newest / "state.npz").unlink()
    tf.train.Checkpoint(model=tf.Variable(np.ones(6000))).write(str(newest / "state"))
    before = sorted(tmp_path.rglob("*"))
    with pytest.raises(UserError, match="another version of this project.*new --workdir"):
        Checkpoints(tmp_path).newest_whole()
    assert sorted(tmp_path.rglob("*")) == before


@pytest.mark.parametrize("name", ["lr[1]", "a*b", "what?", "l\u00e4uf [1] *"])
def test_letters_of_a_path_are_letters(tmp_path, name):
    state = make_state(seed=3)
    directory = tmp_path / name / "checkpoints"
    save_epochs(Checkpoints(directory), [0.5, 0.4], state)
    newest = Checkpoints(directory).newest_whole()
    assert read_progress(newest).epochs == 2
    np.testing.assert_array_equal(
        read_state(newest, shapes_of(state))["vector_0"], state["vector_0"].numpy()
    )


def test_what_cannot_be_read_is_neither_damaged_nor_passed_over(tmp_path, monkeypatch):
    checkpoints = Checkpoints(tmp_path)
    save_epochs(checkpoints, [0.5, 0.4])
    before = sorted(tmp_path.rglob("*"))

    def too_many_open_files(*args, **kwargs):
        raise OSError(errno.EMFILE, os.strerror(errno.EMFILE))

    monkeypatch.setattr(pathlib.Path, "read_bytes", too_many_open_files)
    with pytest.raises(UserError, match="cannot be read .*Too many open files.* may be whole"):
        checkpoints.newest_whole()
    assert sorted(tmp_path.rglob("*")) == before


def test_a_lack_of_memory_is_no_damage(tmp_path, monkeypatch):
    checkpoints = Checkpoints(tmp_path)
    save_epochs(checkpoints, [0.5, 0.4])
    before = sorted(tmp_path.rglob("*"))

    def no_memory(*args, **kwargs):
        raise MemoryError

    monkeypatch.setattr(np, "load", no_memory)
    with pytest.raises(MemoryError):
        checkpoints.newest_whole()
    assert sorted(tmp_path.rglob("*")) == before


def test_where_all_are_damaged_a_run_does_not_begin_anew(tmp_path):
    save_epochs(Checkpoints(tmp_path), [0.5, 0.4])
    for path in tmp_path.glob("*/state.npz"):
        path.write_bytes(path.read_bytes()[:-100])
    before = sorted(tmp_path.rglob("*"))
    with pytest.raises(
        UserError, match="no checkpoint in .* can be used because all are damaged: .*00002.*00001"
    ):
        Checkpoints(tmp_path).newest_whole()
    assert sorted(tmp_path.rglob("*")) == before


def test_a_failure_to_write_is_told_once_and_the_next_checkpoint_is_tried(tmp_path, monkeypatch):
    checkpoints, progress = Checkpoints(tmp_path), Progress()
    progress.finish_epoch(0.5)
    with monkeypatch.context() as full:
        full.setattr(np, "savez", lambda *a, **k: (_ for _ in ()).throw(OSError("no space")))
        checkpoints.save(lambda: make_state(seed=0), progress)
        with pytest.raises(UserError, match="could not be written .*no space"):
            checkpoints.wait()
    checkpoints.raise_if_failed()
    checkpoints.save(lambda: make_state(seed=0), progress)
    checkpoints.wait()
    assert read_progress(checkpoints.newest_whole()) == progress


def test_an_interrupt_while_one_is_written_leaves_it_to_be_waited_for(tmp_path, monkeypatch):
    checkpoints, progress, moved_on = Checkpoints(tmp_path), Progress(), threading.Event()
    savez = np.savez

    def slowly(*args, **arrays):
        assert moved_on.wait(60)
        savez(*args, **arrays)

    def interrupt(futures):
        raise KeyboardInterrupt

    monkeypatch.setattr(np, "savez", slowly)
    progress.finish_epoch(0.5)
    checkpoints.save(lambda: make_state(seed=0), progress)
    with monkeypatch.context() as second, pytest.raises(KeyboardInterrupt):
        second.setattr(checkpoint, "wait", interrupt)
        checkpoints.wait()
    assert not list(tmp_path.glob("epoch-*"))
    moved_on.set()
    checkpoints.finish()
    assert [path.name for path in tmp_path.iterdir()] == ["epoch-00001-step-0000000"]


def test_what_follows_a_checkpoint_sees_it_whole(tmp_path):
    checkpoints, progress, seen = Checkpoints(tmp_path), Progress(), []
    progress.finish_epoch(0.5)
    checkpoints.save(
        lambda: make_state(seed=0), progress,
        then=lambda: seen.append(Checkpoints(tmp_path).newest_whole()),
    )  # fmt: skip
    checkpoints.wait()
    assert seen == list(tmp_path.iterdir())


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
        checkpoints.save(lambda: state, progress)
    checkpoints.wait()
    assert read_progress(checkpoints.newest_whole()).step == 10
    progress.finish_epoch(0.4)
    checkpoints.save(lambda: state, progress)
    checkpoints.wait()
    assert read_progress(checkpoints.newest_whole()) == progress


@pytest.mark.parametrize("file", ["state.npz", "progress.json"])
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
    assert (tmp_path / f"damaged-{newest.name}").exists()
    assert not newest.exists()
    save_epochs(checkpoints, [0.5, 0.3])  # Where the damaged one was, a whole one comes.
    assert read_progress(checkpoints.newest_whole()).best_loss == 0.3


def test_a_half_written_checkpoint_is_not_seen(tmp_path):
    checkpoints = Checkpoints(tmp_path)
    save_epochs(checkpoints, [0.5])
    (tmp_path / "partial").mkdir()
    (tmp_path / "partial" / "state.npz").write_bytes(b"half")
    assert read_progress(checkpoints.newest_whole()).epochs == 1
    save_epochs(checkpoints, [0.5, 0.4])
    assert not (tmp_path / "partial").exists()


def test_a_worker_that_is_not_the_chief_writes_nothing(tmp_path):
    save_epochs(Checkpoints(tmp_path / "run", writes=False), [0.5, 0.4])
    assert not (tmp_path / "run").exists()


FULL_DISK = """
import resource, signal, sys
from tests.support.checkpoints import make_state, save_epochs
from trainer.training.checkpoint import Checkpoints
checkpoints, state = Checkpoints(__import__("pathlib").Path(sys.argv[1])), make_state(seed=0)
progress = save_epochs(checkpoints, [0.5], state)
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, resource.RLIM_INFINITY))
progress.finish_epoch(0.4)
try:
    checkpoints.save(lambda: state, progress)
    checkpoints.wait()
except Exception as error:
    print(type(error).__name__, error)
"""


def test_a_checkpoint_that_cannot_be_written_leaves_the_earlier_one(forks, tmp_path):
    # A limit on the size of files stands for a full disk; the drills fill a real one.
    assert resource.RLIMIT_FSIZE
    said = forks.run("-c", [FULL_DISK, str(tmp_path)], ROOT).said
    assert said.startswith(UserError.__name__), said
    assert "earlier ones are intact" in said
    assert [read_progress(path).epochs for path in tmp_path.iterdir()] == [1]
    assert read_progress(Checkpoints(tmp_path).newest_whole()).epochs == 1
