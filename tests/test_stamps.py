import hashlib
import json
import os

import pytest

from trainer.data import stamps
from trainer.errors import Damaged


@pytest.fixture
def files(tmp_path, monkeypatch):
    monkeypatch.setenv("CXR_CACHE_DIR", str(tmp_path / "cache"))
    (tmp_path / "[data] *").mkdir()
    paths = [tmp_path / "[data] *" / name for name in "abc"]
    for path in paths:
        path.write_bytes(path.name.encode() * 3_000_000)
    return [str(path) for path in paths]


def sha256(path):
    with open(path, "rb") as file:
        return hashlib.sha256(file.read()).hexdigest()


@pytest.fixture
def read(monkeypatch):
    """Which files were read, of whatever was asked for."""
    seen, digest = [], stamps.sha256_of

    def watched(path):
        seen.append(os.path.basename(path))
        return digest(path)

    monkeypatch.setattr(stamps, "sha256_of", watched)
    return seen


def test_a_file_is_read_once_for_each_version(files, read):
    expected = [sha256(path) for path in files]
    assert stamps.digests_of(files) == expected
    assert sorted(read) == ["a", "b", "c"]
    assert stamps.digests_of(files) == expected
    assert stamps.digests_of(files[1:]) == expected[1:]
    assert sorted(read) == ["a", "b", "c"]
    status = os.stat(files[1])
    with open(files[1], "wb") as file:
        file.write(b"x" * status.st_size)
    assert stamps.digests_of(files) == [expected[0], sha256(files[1]), expected[2]]
    assert sorted(read) == ["a", "b", "b", "c"]


def test_a_copy_in_the_place_of_a_file_is_read(files, read):
    stamps.digests_of(files)
    status = os.stat(files[0])
    copy = files[0] + ".copy"
    with open(copy, "wb") as file:
        file.write(b"y" * status.st_size)
    os.replace(copy, files[0])
    os.utime(files[0], ns=(status.st_atime_ns, status.st_mtime_ns))
    assert stamps.digests_of(files)[0] == sha256(files[0])


@pytest.mark.parametrize("content", ["", "{}", '{"files": {"a": {"stamp": "x"}}}', "\x00"])
def test_damaged_stamps_cost_a_reading(files, read, content):
    expected = stamps.digests_of(files)
    (kept,) = stamps.folder().iterdir()
    kept.write_text(content)
    assert stamps.digests_of(files) == expected
    assert sorted(read) == sorted("abcabc")
    assert json.loads(kept.read_text())["content"]["files"].keys() == set("abc")


def test_without_a_place_for_stamps_files_are_read_each_time(files, read, monkeypatch, tmp_path):
    (tmp_path / "file").touch()
    monkeypatch.setenv("CXR_CACHE_DIR", str(tmp_path / "file"))
    assert stamps.digests_of(files) == stamps.digests_of(files) == [sha256(path) for path in files]
    assert len(read) == 6


def test_a_missing_file_is_named(files):
    os.remove(files[2])
    with pytest.raises(Damaged, match="there is no .*c"):
        stamps.digests_of(files)


def test_a_wrong_digit_of_a_stamp_is_not_believed(files, read):
    expected = stamps.digests_of(files)
    (kept,) = stamps.folder().iterdir()
    for digest in expected:
        wrong = ("0" if digest[0] != "0" else "1") + digest[1:]
        kept.write_text(kept.read_text().replace(digest, wrong))
        assert wrong in kept.read_text()
        assert stamps.digests_of(files) == expected
