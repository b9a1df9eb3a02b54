import errno
import fcntl
import json
import os
import pathlib
import signal
import socket
import subprocess
import sys
import threading

import pytest

from tests.conftest import ROOT
from trainer.errors import UserError
from trainer.lock import is_locked, locked

HOLD = """
import pathlib, sys, time
from trainer.lock import locked
with locked(pathlib.Path(sys.argv[1]), "wait"):
    print("held", flush=True)
    time.sleep(600)
"""


@pytest.fixture
def holder(tmp_path):
    """A process that has the lock on `tmp_path`."""
    command = [sys.executable, "-c", HOLD, str(tmp_path)]
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True) as process:  # noqa: S603
        assert process.stdout.readline() == "held\n"
        yield process
        process.kill()


def test_the_second_is_refused_with_the_first_ones_host_and_process(holder, tmp_path):
    expected = (
        rf"{tmp_path.name} is in use by process {holder.pid} on {socket.gethostname()}, since "
        r"20.*\+00:00; ask it to end"
    )
    with pytest.raises(UserError, match=expected), locked(tmp_path, "ask it to end"):
        raise AssertionError
    assert is_locked(tmp_path)
    assert json.loads((tmp_path / "lock").read_text())["process_id"] == holder.pid


def test_a_killed_holder_has_it_no_more(holder, tmp_path):
    holder.send_signal(signal.SIGKILL)
    holder.wait()
    assert (tmp_path / "lock").exists()
    assert is_locked(tmp_path) is False
    with locked(tmp_path, "wait"):
        assert is_locked(tmp_path)
        assert json.loads((tmp_path / "lock").read_text())["process_id"] == os.getpid()


def test_it_leaves_nothing_behind(tmp_path):
    with pytest.raises(ValueError, match="inside"), locked(tmp_path, "wait"):
        raise ValueError("inside")
    assert list(tmp_path.iterdir()) == []
    assert is_locked(tmp_path) is False


def test_of_many_at_once_one_has_it_at_a_time(tmp_path):
    # Each removes the file at its end, which others have open by then.
    inside, most, taken = [], [], []

    def work():
        for _ in range(50):
            try:
                with locked(tmp_path, "wait"):
                    inside.append(1)
                    most.append(len(inside))
                    inside.pop()
                    taken.append(1)
            except UserError:
                pass

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert max(most) == 1
    assert len(taken) >= 50


def test_who_only_asks_keeps_nobody_out(tmp_path):
    (tmp_path / "lock").touch()
    reader = (tmp_path / "lock").open()
    fcntl.flock(reader, fcntl.LOCK_SH)
    threading.Timer(0.06, reader.close).start()
    with locked(tmp_path, "wait"):
        pass


def test_a_file_system_without_locks_is_told_and_used(tmp_path, monkeypatch, caplog):
    def no_locks(*args):
        raise OSError(errno.ENOLCK, os.strerror(errno.ENOLCK))

    monkeypatch.setattr(fcntl, "flock", no_locks)
    with locked(tmp_path, "wait"):
        assert is_locked(tmp_path) is None
    assert "cannot be locked (No locks available)" in caplog.text


@pytest.mark.parametrize("content", ["", "{", '{"host": 5}'])
def test_a_holder_that_has_not_said_who_it_is(tmp_path, content):
    (tmp_path / "lock").write_text(content)
    with (tmp_path / "lock").open() as other:
        fcntl.flock(other, fcntl.LOCK_EX)
        with pytest.raises(UserError, match="in use by another process; wait"):
            with locked(tmp_path, "wait"):
                raise AssertionError


def test_a_place_that_cannot_be_opened_is_named(tmp_path):
    (tmp_path / "lock").mkdir()
    with pytest.raises(UserError, match="lock cannot be opened .Is a directory"):
        with locked(pathlib.Path(tmp_path), "wait"):
            raise AssertionError
