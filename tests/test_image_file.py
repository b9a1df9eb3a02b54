import os
import pathlib

import pytest

from trainer.data import image_file
from trainer.data.image_file import read_image_file
from trainer.errors import Damaged, Unreadable


def test_the_bytes_are_read(tmp_path):
    (tmp_path / "a.png").write_bytes(b"\x00\xff")
    assert read_image_file(tmp_path / "a.png") == b"\x00\xff"


def test_what_is_no_file_is_named(tmp_path):
    (tmp_path / "link.png").symlink_to(tmp_path / "nothing")
    with pytest.raises(Damaged, match="there is no .*link.png"):
        read_image_file(tmp_path / "link.png")
    with pytest.raises(Unreadable, match="Is a directory"):
        read_image_file(tmp_path)


def test_a_file_larger_than_any_image_is_not_read(tmp_path):
    path = tmp_path / "large.png"
    path.touch()
    os.truncate(path, image_file._MOST_BYTES + 1)  # It takes no room on the disk.
    with pytest.raises(Damaged, match="has more bytes than an image of 25,000,000 pixels"):
        read_image_file(path)


@pytest.mark.parametrize("number", [5, 13, 24, 116])
def test_a_file_that_the_system_cannot_read_is_not_called_damaged(number, tmp_path, monkeypatch):
    (tmp_path / "a.png").touch()

    def fail(path):
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(pathlib.Path, "read_bytes", fail)
    with pytest.raises(Unreadable, match=f"a.png cannot be read .{os.strerror(number)}"):
        read_image_file(tmp_path / "a.png")
