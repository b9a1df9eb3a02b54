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


def test_names_that_tensorflow_would_read_otherwise_are_refused():
    for name in ("/data", "/däta [1]", "gs://bucket/data"):
        paths.check_writable_by_all(epath.Path(name), on_beam=False)
    with pytest.raises(paths.PathError, match=r"'/d\\udce4ta' as UTF-8.*choose another"):
        paths.check_writable_by_all(epath.Path("/d\udce4ta"), on_beam=False)


@pytest.mark.parametrize("letter", "[]*?")
def test_patterns_are_refused_where_beam_would_take_them_for_such(letter):
    paths.check_writable_by_all(epath.Path(f"/data{letter}"), on_beam=False)
    with pytest.raises(paths.PathError, match="for a pattern"):
        paths.check_writable_by_all(epath.Path(f"/data{letter}"), on_beam=True)
