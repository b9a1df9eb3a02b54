import logging
import os
import signal

import pytest

from cxr_tfds.covid19_radiography import scratch


@pytest.fixture
def said(caplog):
    logging.getLogger("absl").addHandler(caplog.handler)
    yield lambda: caplog.text
    logging.getLogger("absl").removeHandler(caplog.handler)


@pytest.fixture
def builder():
    """Starts processes that hold a folder's mark until they are killed."""
    started = []

    def start(folder):
        (folder / "sub").mkdir(parents=True)
        (folder / "sub" / "shard").write_bytes(bytes(100))
        ready, write = os.pipe()
        process = os.fork()
        if process == 0:
            with scratch.marked(folder):
                os.write(write, b"x")
                signal.pause()
        os.read(ready, 1)
        started.append(process)
        return process

    yield start
    for process in started:
        kill(process)


def kill(process):
    try:
        os.kill(process, signal.SIGKILL)
        os.waitpid(process, 0)
    except (ProcessLookupError, ChildProcessError):
        pass  # The test has killed it.


def test_a_living_process_keeps_its_folder_and_a_dead_ones_is_removed(tmp_path, builder, said):
    unfinished = tmp_path / "incomplete.A_1.0.0"
    process = builder(unfinished)
    living = scratch.sweep(tmp_path, "incomplete.")
    assert list(living) == [unfinished.name]
    assert living[unfinished.name].startswith(f"process {process} on ")
    assert (unfinished / "sub" / "shard").exists() and not said()

    kill(process)
    assert scratch.sweep(tmp_path, "incomplete.") == {}
    assert not unfinished.exists()
    assert f"{unfinished} of process {process} on " in said() and "was removed" in said()


def test_what_has_no_mark_is_named_and_left_alone(tmp_path, said):
    (tmp_path / "incomplete.B_1.0.0").mkdir()
    (tmp_path / "incomplete.B_1.0.0" / "shard").touch()
    assert scratch.sweep(tmp_path, "incomplete.") == {}
    assert (tmp_path / "incomplete.B_1.0.0" / "shard").exists()
    assert "incomplete.B_1.0.0" in said() and "was not removed" in said()


@pytest.mark.parametrize("mark", ["", "7", "7 elsewhere other-boot", "\0\0", "a b c d"])
def test_a_mark_that_tells_nothing_certain_saves_its_folder(tmp_path, said, mark):
    (tmp_path / "incomplete.C_1.0.0").mkdir()
    (tmp_path / "incomplete.C_1.0.0" / scratch._MARK).write_text(mark)
    assert scratch.sweep(tmp_path, "incomplete.") == {}
    assert (tmp_path / "incomplete.C_1.0.0").exists()
    assert "was not removed" in said()


def test_other_names_files_and_links_are_no_unfinished_folders(tmp_path, builder):
    process = builder(tmp_path / "mine")
    kill(process)
    (tmp_path / "incomplete.file").write_text("x")
    assert scratch.sweep(tmp_path, "incomplete.") == {}
    assert {path.name for path in tmp_path.iterdir()} == {"mine", "incomplete.file"}


def test_the_mark_goes_with_the_work(tmp_path):
    with scratch.marked(tmp_path):
        assert [path.name for path in tmp_path.iterdir()] == [scratch._MARK]
    assert list(tmp_path.iterdir()) == []


def test_without_locks_there_is_no_mark(tmp_path, monkeypatch):
    def refuse(*_):
        raise OSError(95, "Operation not supported")

    monkeypatch.setattr(scratch.fcntl, "flock", refuse)
    with scratch.marked(tmp_path):
        assert list(tmp_path.iterdir()) == []


def test_a_scratch_folder_is_gone_afterwards_and_so_are_those_of_the_dead(tmp_path, builder):
    kill(builder(tmp_path / ".extracting-x"))
    with scratch.folder(tmp_path, ".extracting-") as unfinished:
        assert [path.name for path in tmp_path.iterdir()] == [unfinished.name]
        (unfinished / "file").touch()
    assert list(tmp_path.iterdir()) == []


def test_a_folder_that_is_not_there_holds_nothing(tmp_path):
    assert scratch.sweep(tmp_path / "none", "incomplete.") == {}
