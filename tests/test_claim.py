import os
import signal
import time

import pytest

from cxr_command.stop_signals import Terminated
from trainer import claim
from trainer.claim import claimed
from trainer.errors import UserError


@pytest.fixture
def here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_two_new_runs_of_the_same_second_get_two_directories(here, monkeypatch):
    monkeypatch.setattr(claim.time, "strftime", lambda form: "20260131-120000")
    with (
        claimed(None, "lenet", writes=True) as one,
        claimed(None, "lenet", writes=True) as two,
        claimed(None, "lenet", writes=True) as three,
    ):
        for run in (one, two, three):
            run.status.begin()
    names = ["lenet-20260131-120000", "lenet-20260131-120000-2", "lenet-20260131-120000-3"]
    assert sorted(path.name for path in (here / "runs").iterdir()) == names
    assert [run.path.name for run in (one, two, three)] == names


@pytest.mark.parametrize("workdir", [None, "new/run"])
@pytest.mark.parametrize("end", ["refused", signal.SIGTERM, signal.SIGHUP])
def test_what_was_refused_leaves_no_directory(here, workdir, end):
    expected = UserError if end == "refused" else Terminated
    with pytest.raises(expected), claimed(workdir, "lenet", writes=True) as run:
        assert run.path.is_dir()
        if end != "refused":
            os.kill(os.getpid(), end)
            time.sleep(60)
        raise UserError("no such thing")
    assert list(here.iterdir()) == []


def test_a_run_that_has_begun_stays_and_says_how_it_ended(here):
    with pytest.raises(Terminated), claimed("run", "lenet", writes=True) as run:
        run.status.begin()
        os.kill(os.getpid(), signal.SIGHUP)
        time.sleep(60)
    assert [path.name for path in (here / "run").iterdir()] == ["status.json"]
    content = run.read_status()
    assert content["status"] == "preempted"
    assert content["error"].startswith("by SIGHUP")


def test_a_directory_is_one_trainings_at_a_time(here):
    with claimed("run", "lenet", writes=True) as run:
        run.status.begin()
        assert run.state() == "running"
        with pytest.raises(UserError, match=rf"in use by process {os.getpid()} on .*--workdir"):
            with claimed("run", "lenet", writes=True):
                raise AssertionError
        with claimed("run", "lenet", writes=False) as other:  # Of the same training.
            assert not other.writes
        assert run.state() == "running"
    assert run.state() == "stale"
    with claimed("run", "lenet", writes=True):
        pass


def test_a_place_that_cannot_be_written_to_is_the_users_mistake(here):
    (here / "file").touch()
    with pytest.raises(UserError, match="file/run cannot be written to .*--workdir"):
        with claimed("file/run", "lenet", writes=True):
            raise AssertionError
    (here / "runs").touch()
    with pytest.raises(UserError, match="runs cannot be written to"):
        with claimed(None, "lenet", writes=True):
            raise AssertionError
