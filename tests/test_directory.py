import errno
import os
import signal

import pytest

from cxr_command.stop_signals import Terminated
from trainer.directory import move_files, require_writable, unfinished, writing_to
from trainer.errors import UserError


def test_a_directory_is_proven_writable_and_left_as_it_was(tmp_path):
    assert require_writable(tmp_path / "a" / "b", "output_dir") == tmp_path / "a" / "b"
    require_writable(tmp_path, "output_dir")
    assert list(tmp_path.iterdir()) == []


def test_what_is_finished_stays_and_the_rest_goes(tmp_path):
    with unfinished(tmp_path / "a" / "b") as partial:
        (partial / "whole").touch()
        (partial / "part").touch()
        os.replace(partial / "whole", tmp_path / "a" / "b" / "whole")
    assert [path.name for path in tmp_path.rglob("*")] == ["a", "b", "whole"]


@pytest.mark.parametrize("end", [KeyboardInterrupt, signal.SIGTERM, signal.SIGHUP])
def test_an_end_on_the_way_leaves_nothing(end, tmp_path):
    before = signal.getsignal(signal.SIGTERM)
    expected = KeyboardInterrupt if end is KeyboardInterrupt else Terminated
    with pytest.raises(expected), unfinished(tmp_path / "a") as partial:
        (partial / "part").touch()
        if expected is Terminated:
            os.kill(os.getpid(), end)
        raise KeyboardInterrupt
    assert list(tmp_path.iterdir()) == []
    assert signal.getsignal(signal.SIGTERM) == before


def test_files_are_moved_and_replace_those_of_their_names(tmp_path):
    source, target = tmp_path / "source", tmp_path / "target"
    for folder, text in ((source, "new"), (target, "old")):
        (folder / "deep").mkdir(parents=True)
        for name in ("a", "deep/b"):
            (folder / name).write_text(text)
    (target / "mine").write_text("old")
    move_files(source, target)
    texts = {path.name: path.read_text() for path in target.rglob("*") if path.is_file()}
    assert texts == {"a": "new", "b": "new", "mine": "old"}


@pytest.mark.parametrize("in_the_way", ["a", "deep"])
def test_nothing_is_moved_where_something_is_in_the_way(in_the_way, tmp_path):
    source, target = tmp_path / "source", tmp_path / "target"
    (source / "deep").mkdir(parents=True)
    (source / "a").touch()
    target.mkdir()
    if in_the_way == "a":
        (target / "a").mkdir()
    else:
        (target / "deep").touch()
    with pytest.raises(UserError, match=f"{target / in_the_way} is in the way"):
        move_files(source, target)
    assert [path.name for path in target.iterdir()] == [in_the_way]
    assert len(list(source.iterdir())) == 2


def test_a_place_that_cannot_be_a_directory_is_named(tmp_path):
    file = tmp_path / "file"
    file.touch()
    with pytest.raises(UserError, match=f"{file / 'report'} cannot be written to"):
        require_writable(file / "report", "output_dir")


def test_a_failure_to_write_becomes_a_sentence(tmp_path):
    with pytest.raises(UserError, match="written .No space left on device.; make room"):
        with writing_to(tmp_path):
            raise OSError(errno.ENOSPC, "No space left on device")
