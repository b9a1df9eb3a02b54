import errno
import os

import pytest

from trainer.errors import UserError
from trainer.export.package import package


def export(target, content="{}"):
    with package(target) as directory:
        (directory / "export.json").write_text(content)
        (directory / "variables").mkdir()


def files(folder):
    return sorted(path.name for path in folder.rglob("*"))


def test_it_is_there_when_all_is_written_and_not_before(tmp_path):
    target = tmp_path / "a" / "saved"
    with package(target) as directory:
        (directory / "export.json").touch()
        assert not target.exists()
    assert files(tmp_path) == ["a", "export.json", "saved"]


def test_an_earlier_export_is_replaced(tmp_path):
    export(tmp_path / "saved", "old")
    export(tmp_path / "saved", "new")
    assert (tmp_path / "saved" / "export.json").read_text() == "new"
    assert files(tmp_path) == ["export.json", "saved", "variables"]


@pytest.mark.parametrize("also", ["export.json", None])
def test_what_an_export_did_not_write_is_never_removed(also, tmp_path):
    target = tmp_path / "saved"
    target.mkdir()
    (target / "notes.txt").write_text("mine")
    if also:
        (target / also).touch()
    before = files(tmp_path)
    with pytest.raises(UserError, match="has files that are not an exported model, such as notes"):
        export(target)
    assert files(tmp_path) == before


def test_an_earlier_export_stays_where_the_new_one_fails(tmp_path):
    target = tmp_path / "saved"
    export(target, "old")
    with pytest.raises(UserError, match="could not be written .No space left"):
        with package(target):
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
    with pytest.raises(KeyboardInterrupt), package(target):
        raise KeyboardInterrupt
    assert (target / "export.json").read_text() == "old"
    assert files(tmp_path) == ["export.json", "saved", "variables"]


def test_an_earlier_export_stays_where_the_new_one_cannot_take_its_place(tmp_path, monkeypatch):
    target = tmp_path / "saved"
    export(target, "old")
    replace = os.replace

    def fail_for_the_new(source, place):
        if str(source).endswith("whole"):
            raise OSError(errno.EIO, os.strerror(errno.EIO))
        replace(source, place)

    monkeypatch.setattr(os, "replace", fail_for_the_new)
    with pytest.raises(UserError, match="Input/output error"):
        export(target, "new")
    assert (target / "export.json").read_text() == "old"
    assert files(tmp_path) == ["export.json", "saved", "variables"]


@pytest.mark.parametrize("name", ["x" * 300, "file", "file/saved"])
def test_a_place_that_cannot_be_is_refused_before_the_work(name, tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(UserError, match="cannot be written to"):
        with package(tmp_path / name):
            raise AssertionError("the work has begun")
    assert files(tmp_path) == ["file"]


def test_a_long_name_leaves_room_for_the_directory_beside_it(tmp_path):
    export(tmp_path / ("x" * 255))
    assert (tmp_path / ("x" * 255) / "export.json").is_file()
