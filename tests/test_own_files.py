import os
import pathlib

import numpy as np
import PIL.Image
import pytest

from cxr_command.radiograph.account import Account
from tests.support import radiograph_file
from trainer.data import own_files
from trainer.errors import Unreadable, UserError

SHAPE = (40, 30, 1)


def draw(path, size=(40, 30)):
    path.parent.mkdir(parents=True, exist_ok=True)
    PIL.Image.fromarray(np.eye(*size, dtype=np.uint8) * 200).save(path, "png")
    return path


@pytest.mark.parametrize("name", ["scan[1].png", "a*.png", "é.png", b"no\xff.png", "$a.png", "n\n"])
def test_a_file_of_any_name_is_read(name, tmp_path):
    path = draw(tmp_path / os.fsdecode(name))
    assert radiograph_file.read(path, SHAPE).max() == 200


def test_damaged_files_are_left_out_and_one_that_cannot_be_read_stops(tmp_path, monkeypatch):
    paths = [draw(tmp_path / "a.png"), tmp_path / "b.png", draw(tmp_path / "c.png")]
    paths[1].write_bytes(b"no image")
    account = Account()
    read = dict(own_files.read(paths, SHAPE, account))
    assert (list(read), read[2].shape) == ([0, 2], SHAPE)
    assert (account.read, [path for path, _ in account.left_out]) == (2, [paths[1]])
    assert account.told().startswith("2 radiographs read, 1 file left out: 1 no image; expected")
    read_bytes = pathlib.Path.read_bytes

    def fail(path):
        if path.name == "c.png":
            raise OSError(5, "Input/output error")
        return read_bytes(path)

    monkeypatch.setattr(pathlib.Path, "read_bytes", fail)
    with pytest.raises(Unreadable, match="c.png cannot be read .Input/output error"):
        list(own_files.read(paths, SHAPE, Account()))


def listed(*patterns):
    return [str(path) for path in own_files.find(patterns, "images").files]


def test_a_part_of_a_pattern_that_exists_is_taken_literally(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for name in ("a[1]/x.png", "a[1]/deep/y.png", "a1/z.png", "b*.png", "b1.png"):
        draw(tmp_path / name)
    assert listed("a[1]/*.png") == ["a[1]/x.png"]
    assert listed("a[1]/**/*.png") == ["a[1]/deep/y.png", "a[1]/x.png"]
    assert listed("a[1]") == ["a[1]/deep/y.png", "a[1]/x.png"]
    assert listed("b*.png") == ["b*.png"]
    assert listed("b?.png") == ["b*.png", "b1.png"]
    assert listed(f"{tmp_path}/a[1]/*.png") == [f"{tmp_path}/a[1]/x.png"]
    assert listed("a?/*") == ["a1/z.png"]
    for pattern in ("c[1]/*.png", "x" * 300, f"{'x' * 300}/*.png"):
        with pytest.raises(UserError, match="no file matches"):
            listed(pattern)


def test_a_folder_that_cannot_be_listed_is_named(tmp_path, monkeypatch):
    draw(tmp_path / "a" / "x.png")
    draw(tmp_path / "a" / "deep" / "y.png")
    scan = os.scandir

    def fail(path):
        if str(path).endswith("deep"):
            raise PermissionError(13, "Permission denied", str(path))
        return scan(path)

    monkeypatch.setattr(os, "scandir", fail)
    with pytest.raises(Unreadable, match="the folder .*deep cannot be listed .Permission denied"):
        own_files.find([str(tmp_path / "a")], "images")
