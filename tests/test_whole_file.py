import os

import pytest

from cxr_tfds import whole_file


def names_in(folder):
    return sorted(path.name for path in folder.iterdir())


def test_a_file_is_written_in_place_of_an_older_one(tmp_path):
    for text in ("one\n", "two\r\n"):
        with whole_file.writing(tmp_path / "f [1] *.csv") as file:
            file.write(text)
        assert (tmp_path / "f [1] *.csv").read_bytes() == text.encode()
    assert names_in(tmp_path) == ["f [1] *.csv"]


def test_what_fails_leaves_an_older_file_as_it_was(tmp_path):
    (tmp_path / "file").write_text("old")
    with pytest.raises(OSError, match="No space"), whole_file.writing(tmp_path / "file") as file:
        file.write("new")
        raise OSError(28, "No space left on device")
    assert (tmp_path / "file").read_text() == "old"
    assert names_in(tmp_path) == ["file"]


def test_a_link_stays_and_its_file_is_written(tmp_path):
    (tmp_path / "file").write_text("old")
    os.symlink("file", tmp_path / "link")
    with whole_file.writing(tmp_path / "link") as file:
        file.write("new")
    assert (tmp_path / "link").is_symlink()
    assert (tmp_path / "file").read_text() == "new"


def test_a_pipe_is_written_to_and_stays_one(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    reader = os.open(tmp_path / "pipe", os.O_RDONLY | os.O_NONBLOCK)
    with whole_file.writing(tmp_path / "pipe") as file:
        file.write("text")
    assert os.read(reader, 10) == b"text"
    assert (tmp_path / "pipe").is_fifo()
    os.close(reader)


def test_a_folder_is_no_file(tmp_path):
    with pytest.raises(IsADirectoryError), whole_file.writing(tmp_path):
        pass
    assert names_in(tmp_path) == []
