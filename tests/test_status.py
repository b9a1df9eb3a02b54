import datetime
import json
import os
import pathlib
import socket
import subprocess

import pytest

from trainer import status as module
from trainer.errors import Damaged, Diverged, Preempted, UserError
from trainer.lock import locked
from trainer.run import Run
from trainer.status import STALE, STATES, seconds_since_sign, state_of


@pytest.fixture
def run(tmp_path):
    return Run(tmp_path)


@pytest.fixture
def dead():
    """The id of a process that has ended."""
    process = subprocess.Popen(["true"])  # noqa: S607
    process.wait()
    return process.pid


def signed(host=None, process_id=None, seconds_ago=0.0, state="running"):
    then = datetime.datetime.now(datetime.UTC) - datetime.timedelta(seconds=seconds_ago)
    return {
        "status": state, "best_epoch": None, "best_validation_loss": None,
        "host": host or socket.gethostname(), "process_id": process_id or os.getpid(),
        "last_sign_of_life": then.isoformat(),
    }  # fmt: skip


def test_it_says_who_writes_it_and_when(run):
    before = datetime.datetime.now(datetime.UTC).replace(microsecond=0)
    run.write_status("running", 3, 0.25)
    content = json.loads((run.path / "status.json").read_text())
    then = datetime.datetime.fromisoformat(content.pop("last_sign_of_life"))
    assert before <= then <= datetime.datetime.now(datetime.UTC)
    assert content == {
        "status": "running", "best_epoch": 3, "best_validation_loss": 0.25, "error": None,
        "host": socket.gethostname(), "process_id": os.getpid(),
    }  # fmt: skip


@pytest.mark.parametrize(
    "error, state, sentence",
    [
        (UserError("the disk is full"), "failed", "the disk is full"),
        (KeyError("name"), "failed", "KeyError: 'name'"),
        (ValueError("first\nsecond"), "failed", "ValueError: first"),
        (KeyboardInterrupt(), "failed", "KeyboardInterrupt"),
        (Diverged("not finite"), "diverged", "not finite"),
        (Preempted("after step 3"), "preempted", "after step 3"),
    ],
)
def test_an_end_is_recorded_with_its_sentence(run, error, state, sentence):
    with pytest.raises(type(error)), run.status.end_recorded():
        run.status.begin()
        run.write_status("running", 2, 0.5)
        raise error
    content = run.read_status()
    assert (content["status"], content["error"]) == (state, sentence)
    assert (content["best_epoch"], content["best_validation_loss"]) == (2, 0.5)


@pytest.mark.parametrize("state", [None, "done"])
def test_what_was_refused_before_it_began_or_failed_after_it_was_done_changes_nothing(run, state):
    Run(run.path).write_status("done", 1, 0.5)
    before = (run.path / "status.json").read_text()
    with pytest.raises(UserError), run.status.end_recorded():
        if state:
            run.status.begin()
            run.write_status(state, 1, 0.5)
        raise UserError("no such flag")
    assert json.loads(before)["status"] == run.read_status()["status"] == "done"


def test_a_failure_to_record_does_not_hide_the_error(run, monkeypatch, caplog):
    def no_room(*args, **kwargs):
        raise OSError(28, "No space left on device")

    with pytest.raises(KeyError, match="the cause"), run.status.end_recorded():
        run.status.begin()
        monkeypatch.setattr(pathlib.Path, "write_text", no_room)
        raise KeyError("the cause")
    assert "status.json could not be written" in caplog.text
    assert run.read_status()["status"] == "running"  # Which readers call stale.
    assert run.state() == STALE


def test_a_training_that_goes_on_keeps_what_is_known_of_the_best_epoch(run):
    Run(run.path).write_status("preempted", 4, 0.125)
    run.status.begin()
    content = run.read_status()
    assert (content["status"], content["best_epoch"]) == ("running", 4)
    assert content["best_validation_loss"] == 0.125


def test_a_damaged_status_is_told_and_written_anew(run, caplog):
    (run.path / "status.json").write_text("{")
    run.status.begin()
    assert "status.json is damaged" in caplog.text
    assert run.read_status()["status"] == "running"


def test_a_sign_of_life_is_written_every_few_seconds_at_most(run, monkeypatch):
    clock, written = [100.0], []
    monkeypatch.setattr(module.time, "monotonic", lambda: clock[0])
    monkeypatch.setattr(run.status, "_write", written.append)
    run.status.show_life()
    assert written == []  # Nothing has begun.
    run.write_status("running", None, None)
    for clock[0] in (101.0, 103.0, 106.0, 107.0, 112.0):
        run.status.show_life()
    assert len(written) == 3


def test_a_run_lives_as_long_as_its_lock_is_held(tmp_path, dead):
    with locked(tmp_path, "wait"):
        assert state_of(signed(), tmp_path) == "running"
        # A container may show other process ids.
        assert state_of(signed(process_id=dead, seconds_ago=1e6), tmp_path) == "running"
    assert state_of(signed(), tmp_path) == STALE


def test_without_locks_its_process_tells(tmp_path, dead, monkeypatch):
    monkeypatch.setattr(module, "is_locked", lambda directory: None)
    assert state_of(signed(), tmp_path) == "running"
    assert state_of(signed(process_id=dead), tmp_path) == STALE


def test_on_another_host_the_last_sign_of_life_tells(tmp_path):
    (tmp_path / "lock").touch()
    assert state_of(signed("elsewhere", 1, seconds_ago=60), tmp_path) == "running"
    late = module.STALE_AFTER_SECONDS + 60
    assert state_of(signed("elsewhere", 1, seconds_ago=late), tmp_path) == STALE


@pytest.mark.parametrize("state", [state for state in STATES if state != "running"])
def test_an_end_is_never_stale(tmp_path, state, dead):
    assert state_of(signed(process_id=dead, state=state), tmp_path) == state


def test_the_age_is_that_of_the_last_sign():
    assert seconds_since_sign(signed(seconds_ago=90)) == pytest.approx(90, abs=60)
    assert seconds_since_sign({"status": "done"}) is None


def test_a_file_of_an_earlier_version_is_read(run):
    old = {"status": "running", "best_epoch": 1, "best_validation_loss": 0.5}
    (run.path / "status.json").write_text(json.dumps(old))
    assert run.read_status() == old
    assert run.state() == "running"


@pytest.mark.parametrize(
    "field, value",
    [
        ("status", "sleeping"), ("host", 5), ("process_id", "7"), ("process_id", 0),
        ("last_sign_of_life", "yesterday"), ("last_sign_of_life", "2026-01-01T00:00:00"),
        ("last_sign_of_life", 5), ("error", 1), ("best_epoch", 0),
        ("best_validation_loss", "low"),
    ],
)  # fmt: skip
def test_a_field_that_cannot_be_is_named(run, field, value):
    (run.path / "status.json").write_text(json.dumps(signed() | {field: value}))
    with pytest.raises(Damaged, match=rf"status.json is damaged \(field '{field}' is"):
        run.read_status()
