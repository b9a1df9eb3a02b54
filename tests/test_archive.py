import pathlib
import stat
import zipfile

import pytest
from etils import epath

from cxr_tfds import phantom
from cxr_tfds.covid19_radiography import archive, disk, source

IMAGE = f"{source.DATABASE}/COVID/images/COVID-1.png"


@pytest.fixture(scope="module")
def database(tmp_path_factory):
    return phantom.write_database(tmp_path_factory.mktemp("phantom"), 1)


def zip_to(path, members):
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as file:
        for name, content in members.items():
            file.writestr(name, content)


def members_of(database):
    database = pathlib.Path(database)
    files = [path for path in database.rglob("*") if path.is_file()]
    return {str(path.relative_to(database.parent)): path.read_bytes() for path in files}


def open_database(manual_dir, extract_dir):
    return archive.open_database(epath.Path(manual_dir), epath.Path(extract_dir))


def refused(tmp_path, members, match):
    zip_to(tmp_path / "archive.zip", members)
    extract_dir = tmp_path / "extracted"
    with pytest.raises(archive.ArchiveError, match=match):
        open_database(tmp_path, extract_dir)
    assert not extract_dir.exists() or not list(extract_dir.iterdir())
    assert sorted(path.name for path in tmp_path.iterdir() if path != extract_dir) == [
        "archive.zip"
    ]


@pytest.mark.parametrize("name", ["archive.zip", "covid19-radiography-database.zip"])
def test_the_zip_file_of_kaggle_is_extracted_once(database, name, tmp_path):
    members = members_of(database)
    (tmp_path / "manual").mkdir()
    zip_to(tmp_path / "manual" / name, members | {"__MACOSX/._x.png": b"x", "run.sh": b"x"})
    found = open_database(tmp_path / "manual", tmp_path / "extracted")
    assert members_of(found) == members
    written = found.stat().mtime
    assert open_database(tmp_path / "manual", tmp_path / "extracted") == found
    assert found.stat().mtime == written
    assert [path.name for path in (tmp_path / "manual").iterdir()] == [name]
    assert len(list((tmp_path / "extracted").iterdir())) == 1


def test_another_archive_is_extracted_anew(tmp_path):
    zip_to(tmp_path / "archive.zip", {IMAGE: b"one"})
    one = open_database(tmp_path, tmp_path / "extracted")
    zip_to(tmp_path / "archive.zip", {IMAGE: b"two"})
    other = open_database(tmp_path, tmp_path / "extracted")
    assert (one / "COVID/images/COVID-1.png").read_bytes() == b"one"
    assert (other / "COVID/images/COVID-1.png").read_bytes() == b"two"


def test_the_extracted_folder_goes_before_the_zip_file(database, tmp_path):
    (tmp_path / source.DATABASE).mkdir()
    zip_to(tmp_path / "archive.zip", members_of(database))
    assert open_database(tmp_path, tmp_path / "extracted") == tmp_path / source.DATABASE
    assert not (tmp_path / "extracted").exists()


@pytest.mark.parametrize(
    "name",
    [
        "../outside.png",
        f"{source.DATABASE}/../../outside.png",
        "/tmp/outside.png",  # noqa: S108
        "C:/outside.png",
        f"{source.DATABASE}\\..\\outside.png",
    ],
)
def test_entries_that_lead_out_are_refused(name, tmp_path):
    refused(tmp_path, {IMAGE: b"x", name: b"x"}, "1 entries that would lead out")


def test_links_are_refused(tmp_path):
    link = zipfile.ZipInfo(IMAGE)
    link.external_attr = (stat.S_IFLNK | 0o777) << 16
    refused(tmp_path, {link: "/etc/passwd"}, "are links")


def test_a_bomb_is_refused_before_it_is_extracted(tmp_path):
    refused(tmp_path, {IMAGE: bytes(50_000_000)}, "would extract 1 files of 50,000,000 bytes")


def test_too_many_files_are_refused(tmp_path, monkeypatch):
    monkeypatch.setattr(archive, "_MOST_FILES", 2)
    refused(tmp_path, {f"{IMAGE}{n}": b"x" for n in range(3)}, "would extract 3 files")


def test_an_archive_of_something_else_is_refused(tmp_path):
    refused(tmp_path, {"cats/cat-1.png": b"x"}, f"no folder {source.DATABASE}")


def test_a_damaged_archive_is_refused_and_leaves_nothing(database, tmp_path):
    zip_to(tmp_path / "archive.zip", members_of(database))
    whole = bytearray((tmp_path / "archive.zip").read_bytes())
    whole[2000:2100] = bytes(100)
    for damaged in (bytes(whole), bytes(whole[:5000]), b""):
        (tmp_path / "archive.zip").write_bytes(damaged)
        with pytest.raises(archive.ArchiveError, match="damaged .* download it again"):
            open_database(tmp_path, tmp_path / "extracted")
        extracted = tmp_path / "extracted"
        assert not extracted.exists() or not list(extracted.iterdir())


def test_a_full_disk_is_noticed_before_extracting(database, tmp_path, monkeypatch):
    zip_to(tmp_path / "archive.zip", members_of(database))
    usage = disk.shutil.disk_usage(tmp_path)._replace(free=1000)
    monkeypatch.setattr(disk.shutil, "disk_usage", lambda _: usage)
    with pytest.raises(OSError, match="Not enough disk: extracting .* needs .* MB"):
        open_database(tmp_path, tmp_path / "extracted")
    assert not (tmp_path / "extracted").exists()
