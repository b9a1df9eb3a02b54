import contextlib
import errno
import os
import pathlib
import stat

import numpy as np
import pytest

from cxr_command import whole_file


def names_in(folder):
    return sorted(path.name for path in folder.iterdir())


@pytest.fixture(params=[False, True], ids=["alone", "shared"])
def shared(request):
    return request.param


def test_a_file_is_written_in_place_of_an_older_one(tmp_path, shared):
    path = tmp_path / "f [1] *.npy"
    for numbers in ([1, 2], [3]):
        with whole_file.writing(path, shared=shared) as partial:
            np.save(partial, numbers)  # It would add a suffix that is missing.
            assert (partial.parent, partial.suffix) == (tmp_path, ".npy")
            assert partial != path
        assert np.load(path).tolist() == numbers
    assert names_in(tmp_path) == ["f [1] *.npy"]


@pytest.mark.parametrize("error", [ValueError("no"), KeyboardInterrupt(), SystemExit(1)])
def test_what_fails_leaves_an_older_file_as_it_was(tmp_path, shared, error):
    path = tmp_path / "file"
    path.write_text("old")
    path.chmod(0o640)
    with pytest.raises(type(error)), whole_file.writing(path, shared=shared) as partial:
        partial.write_text("half")
        raise error
    assert (path.read_text(), stat.S_IMODE(path.stat().st_mode)) == ("old", 0o640)
    assert names_in(tmp_path) == ["file"]


def test_a_full_disk_leaves_an_older_file_as_it_was(tmp_path, shared, monkeypatch):
    def half_of_it(path, text):
        with path.open("w") as file:
            file.write(text[: len(text) // 2])
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(path))

    (tmp_path / "file").write_text("old")
    monkeypatch.setattr(pathlib.Path, "write_text", half_of_it)
    with (
        pytest.raises(OSError, match="No space left"),
        whole_file.writing(tmp_path / "file", shared=shared) as partial,
    ):
        partial.write_text("new")
    assert (tmp_path / "file").read_text() == "old"
    assert names_in(tmp_path) == ["file"]


def test_what_cannot_get_its_name_is_removed(tmp_path, shared):
    (tmp_path / "folder" / "full").mkdir(parents=True)
    with (
        pytest.raises(IsADirectoryError),
        whole_file.writing(tmp_path / "folder", shared=shared) as partial,
    ):
        partial.write_text("new")
    assert names_in(tmp_path) == ["folder"]


def test_an_error_is_not_hidden_by_a_folder_that_is_gone(tmp_path):
    (tmp_path / "folder").mkdir()
    with (
        pytest.raises(ValueError, match="the cause"),
        whole_file.writing(tmp_path / "folder" / "file"),
    ):
        (tmp_path / "folder").rmdir()
        raise ValueError("the cause")


def test_its_mode_is_that_of_a_new_file(tmp_path, shared):
    (tmp_path / "plain").touch()
    with whole_file.writing(tmp_path / "file", shared=shared) as partial:
        partial.touch()
    assert (tmp_path / "file").stat().st_mode == (tmp_path / "plain").stat().st_mode


def test_a_link_is_replaced_and_what_it_names_stays(tmp_path, shared):
    (tmp_path / "another's").write_text("old")
    (tmp_path / "link").symlink_to("another's")
    with whole_file.writing(tmp_path / "link", shared=shared) as partial:
        partial.write_text("new")
    assert not (tmp_path / "link").is_symlink()
    assert (tmp_path / "another's").read_text() == "old"


def test_processes_that_share_a_file_write_to_different_ones(tmp_path, monkeypatch):
    with whole_file.writing(tmp_path / "file", shared=True) as first:
        first.write_text("first")
        monkeypatch.setattr(os, "getpid", lambda: 1)
        with whole_file.writing(tmp_path / "file", shared=True) as second:
            second.write_text("second")
        assert (tmp_path / "file").read_text() == "second"
    assert (tmp_path / "file").read_text() == "first"
    assert names_in(tmp_path) == ["file"]


def test_what_a_killed_process_left_is_replaced(tmp_path):
    with contextlib.suppress(SystemExit), whole_file.writing(tmp_path / "file") as partial:
        raise SystemExit
    partial.write_text("half of a longer text")
    with whole_file.writing(tmp_path / "file") as partial:
        partial.write_text("whole")
    assert (tmp_path / "file").read_text() == "whole"
    assert names_in(tmp_path) == ["file"]
