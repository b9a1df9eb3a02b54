import os
import pathlib

import pytest

from cxr_command.radiograph import reading
from cxr_command.radiograph.refusal import NotARadiograph


def test_the_bytes_are_read(tmp_path):
    (tmp_path / "a.png").write_bytes(b"\x00\xff")
    assert reading.read_bytes(tmp_path / "a.png") == b"\x00\xff"


def test_what_is_no_file_is_told(tmp_path):
    (tmp_path / "link.png").symlink_to(tmp_path / "nothing")
    (tmp_path / "empty.png").touch()
    os.mkfifo(tmp_path / "pipe.png")
    for name, reason in (
        ("link.png", "no such file"),
        ("a" * 300, "its name is too long"),
        ("empty.png", "the file is empty"),
        ("pipe.png", "the file is empty"),
    ):
        with pytest.raises(NotARadiograph, match=reason):
            reading.read_bytes(tmp_path / name)
    with pytest.raises(IsADirectoryError) as error:
        reading.read_bytes(tmp_path)
    assert error.value.filename == str(tmp_path)


def test_a_file_larger_than_any_image_is_not_read(tmp_path):
    path = tmp_path / "large.png"
    path.touch()
    os.truncate(path, reading._MOST_BYTES + 1)  # It takes no room on the disk.
    with pytest.raises(NotARadiograph, match="has more bytes than an image of 25,000,000 pixels"):
        reading.read_bytes(path)


@pytest.mark.parametrize("number", [5, 13, 24, 116])
def test_a_file_that_the_system_cannot_read_is_not_called_damaged(number, tmp_path, monkeypatch):
    (tmp_path / "a.png").write_bytes(b"x")

    def fail(path):
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(pathlib.Path, "read_bytes", fail)
    with pytest.raises(OSError, match=os.strerror(number)) as error:
        reading.read_bytes(tmp_path / "a.png")
    assert error.value.filename == str(tmp_path / "a.png")
