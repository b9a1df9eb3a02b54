import os

import pytest
from etils import epath

from cxr_tfds.covid19_radiography import paths

PATTERNS = "data [1] *?"


def test_a_folder_is_listed_by_its_literal_name(tmp_path):
    for name in (PATTERNS, "data 1 x"):
        (tmp_path / name).mkdir()
        (tmp_path / name / f"{name}.png").touch()
    assert [path.name for path in paths.listed(epath.Path(tmp_path / PATTERNS))] == [
        f"{PATTERNS}.png"
    ]
    assert paths.listed(epath.Path(tmp_path / "none")) == []


def test_what_cannot_be_told_is_no_absence(tmp_path):
    link = tmp_path / "link"
    os.symlink(tmp_path / "nowhere", link)
    assert paths.exists(epath.Path(link))
    assert not paths.exists(epath.Path(tmp_path / "none"))
    (tmp_path / "file").touch()
    assert not paths.exists(epath.Path(tmp_path / "file" / "below"))
    with pytest.raises(OSError, match="File name too long"):
        paths.exists(epath.Path(tmp_path / ("a" * 300)))
    with pytest.raises(NotADirectoryError):
        paths.listed(epath.Path(tmp_path / "file"))


def test_a_file_of_an_owner_without_a_name_is_measured(tmp_path):
    (tmp_path / "file").write_bytes(bytes(7))
    assert paths.size(epath.Path(tmp_path / "file")) == 7
    if os.geteuid() == 0:
        os.chown(tmp_path / "file", 54321, 54321)
        assert paths.size(epath.Path(tmp_path / "file")) == 7


def test_every_name_can_be_printed():
    for name in (b"\xff", "\xe4".encode(), b"plain"):
        paths.printable(os.fsdecode(name)).encode()
    assert paths.printable("d\udcff\xe4") == "d\\udcff\xe4"
