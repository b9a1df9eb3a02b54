import os
import pathlib
import random
import shutil
import stat
import zipfile

import pytest
from etils import epath

from cxr_tfds import phantom
from cxr_tfds.covid19_radiography import archive, disk, refusal, source

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


@pytest.mark.parametrize(
    "rename",
    [
        lambda name: name.replace("/", "\\"),
        lambda name: f"{source.DATABASE}/{name}",
        lambda name: f"archive/{name}",
    ],
    ids=["backslashes", "inside itself", "in another folder"],
)
def test_a_zip_file_made_otherwise_gives_the_same(database, rename, tmp_path):
    members = members_of(database)
    with zipfile.ZipFile(tmp_path / "archive.zip", "w") as file:
        for name, content in members.items():
            info = zipfile.ZipInfo("x")
            info.filename = rename(name)
            file.writestr(info, content)
    assert members_of(open_database(tmp_path, tmp_path / "extracted")) == members


def test_an_archive_of_two_copies_is_refused(tmp_path):
    refused(tmp_path, {f"a/{IMAGE}": b"x", f"b/{IMAGE}": b"x"}, "holds the database 2 times")


def test_the_folder_is_found_in_itself_or_named(database, tmp_path):
    outer = tmp_path / "manual" / source.DATABASE
    inner = outer / source.DATABASE
    shutil.copytree(database, inner)
    for manual_dir in (tmp_path / "manual", outer, inner):
        assert open_database(manual_dir, tmp_path / "extracted") == epath.Path(inner)
    named = {
        tmp_path: tmp_path / "manual",
        inner / "COVID": inner,
        inner / "COVID" / "images": inner,
    }
    for manual_dir, place in named.items():
        with pytest.raises(refusal.NothingToBuildError, match=f"give --manual_dir={place}.\n"):
            open_database(manual_dir, tmp_path / "extracted")


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


def rewritten(tmp_path, members, change):
    """Writes an archive, and changes fields of its first entry, in its header and the directory.

    Args:
      change: {offset in the directory's entry: two bytes}; a header's begin 2 bytes earlier.
    """
    zip_to(tmp_path / "archive.zip", members)
    content = bytearray((tmp_path / "archive.zip").read_bytes())
    entry, header = content.index(b"PK\1\2"), content.index(b"PK\3\4")
    for offset, field in change.items():
        content[entry + offset : entry + offset + 2] = field
        content[header + offset - 2 : header + offset] = field
    (tmp_path / "archive.zip").write_bytes(content)


def refused_as_it_is(tmp_path, match):
    with pytest.raises(archive.ArchiveError, match=match) as error:
        open_database(tmp_path, tmp_path / "extracted")
    assert len(str(error.value).splitlines()) == 1
    assert not list(tmp_path.glob("extracted/*")) + list(tmp_path.glob("extracted/.*"))


FLAGS, METHOD, SIZE = 8, 10, 24


@pytest.mark.parametrize(
    ("change", "match"),
    [
        ({FLAGS: b"\1\0"}, "1 entries that are encrypted: 'COVID-19_Radiography_Dataset/COVID/im"),
        ({METHOD: b"\x5f\0"}, "use an unknown compression method"),
        ({METHOD: b"\0\0"}, r"damaged \(Bad CRC-32"),
        ({METHOD: b"\x0c\0"}, r"damaged \(Invalid data stream\): download it again"),
        ({METHOD: b"\x0e\0"}, "damaged .*: download it again"),
        ({FLAGS: b"\x20\0"}, r"damaged \(compressed patched data"),
        ({6: b"\xff\0"}, r"damaged \(zip file version 25.5\): download it again"),
        ({SIZE: b"\1\0"}, r"damaged \(Bad CRC-32"),
    ],
)
def test_an_entry_that_cannot_be_unpacked_is_refused(tmp_path, change, match):
    rewritten(tmp_path, {IMAGE: b"an image" * 10}, change)
    refused_as_it_is(tmp_path, match)


def test_a_name_that_is_not_in_its_encoding_is_refused(tmp_path):
    zip_to(
        tmp_path / "archive.zip",
        {IMAGE.replace("1", "\N{LATIN SMALL LETTER U WITH DIAERESIS}"): b"x"},
    )
    content = (tmp_path / "archive.zip").read_bytes()
    (tmp_path / "archive.zip").write_bytes(content.replace(b"\xc3\xbc", b"\xff\xfe"))
    refused_as_it_is(tmp_path, r"damaged \('utf-8' codec can't decode")


@pytest.mark.parametrize(
    "name",
    [f"{source.DATABASE}/COVID/{'a' * 252}.png", f"{source.DATABASE}/{'a/' * 300}a.png"],
)
def test_names_without_room_are_refused(tmp_path, name):
    zip_to(tmp_path / "archive.zip", {IMAGE: b"x", name: b"x"})
    refused_as_it_is(
        tmp_path, "1 entries that have names that this file system does not allow: 'COVID-19_Rad"
    )


@pytest.mark.parametrize("name", [IMAGE, f"{IMAGE}/COVID-2.png", f"{IMAGE}/a/COVID-2.png"])
@pytest.mark.filterwarnings("ignore:Duplicate name")
def test_two_entries_of_one_name_are_refused(tmp_path, name):
    with zipfile.ZipFile(tmp_path / "archive.zip", "w") as file:
        for each in (name, f"{IMAGE}-other.png", IMAGE):
            file.writestr(each, each)
    refused_as_it_is(tmp_path, "1 entries that have the name of another file or of its folder")


@pytest.mark.parametrize("name", ["COVID//images/COVID-2.png", "./COVID-2.png", "COVID/./2.png"])
def test_names_of_nothing_are_refused(tmp_path, name):
    zip_to(tmp_path / "archive.zip", {IMAGE: b"x", f"{source.DATABASE}/{name}": b"x"})
    refused_as_it_is(tmp_path, "lead out of the folder")


def test_a_pipe_is_not_waited_for(tmp_path):
    os.mkfifo(tmp_path / "archive.zip")
    refused_as_it_is(tmp_path, r"damaged \(the file is empty\)")


def test_a_disk_that_is_full_after_all_is_one_sentence(database, tmp_path, monkeypatch):
    zip_to(tmp_path / "archive.zip", members_of(database))

    def fail(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(archive.shutil, "copyfileobj", fail)
    with pytest.raises(refusal.SystemRefusedError) as error:
        open_database(tmp_path, tmp_path / "extracted")
    words = (
        f"Cannot extract {tmp_path}/archive.zip to {tmp_path}/extracted: No space left on device."
    )
    assert str(error.value) == words
    assert list((tmp_path / "extracted").iterdir()) == []


def test_another_build_may_extract_the_same_at_once(database, tmp_path, monkeypatch):
    zip_to(tmp_path / "archive.zip", members_of(database))
    copy = shutil.copyfileobj

    def copy_and_be_overtaken(*files):
        monkeypatch.setattr(archive.shutil, "copyfileobj", copy)
        open_database(tmp_path, tmp_path / "extracted")
        copy(*files)

    monkeypatch.setattr(archive.shutil, "copyfileobj", copy_and_be_overtaken)
    found = open_database(tmp_path, tmp_path / "extracted")
    assert members_of(found) == members_of(database)
    assert len(list((tmp_path / "extracted").iterdir())) == 1


@pytest.mark.parametrize("seed", range(4))
def test_an_archive_of_changed_bytes_is_extracted_whole_or_refused(tmp_path, seed):
    rng = random.Random(seed)  # noqa: S311
    members = {f"{source.DATABASE}/COVID/images/COVID-{n}.png": rng.randbytes(300) for n in (1, 2)}
    zip_to(tmp_path / "archive.zip", members)
    whole = (tmp_path / "archive.zip").read_bytes()
    for _ in range(100):
        content = bytearray(whole)
        for _ in range(rng.randint(1, 4)):
            content[rng.randrange(len(content))] = rng.randrange(256)
        (tmp_path / "archive.zip").write_bytes(content[: rng.choice([None, rng.randrange(900)])])
        try:
            found = open_database(tmp_path, tmp_path / "extracted")
        except refusal.RefusedError:
            assert not list(tmp_path.glob("extracted/*")) + list(tmp_path.glob("extracted/.*"))
        else:
            assert set(members_of(found).values()) <= set(members.values())
            shutil.rmtree(tmp_path / "extracted")


def test_a_full_disk_is_noticed_before_extracting(database, tmp_path, monkeypatch):
    zip_to(tmp_path / "archive.zip", members_of(database))
    usage = disk.shutil.disk_usage(tmp_path)._replace(free=1000)
    monkeypatch.setattr(disk.shutil, "disk_usage", lambda _: usage)
    with pytest.raises(OSError, match="Not enough disk: extracting .* needs .* MB"):
        open_database(tmp_path, tmp_path / "extracted")
    assert not (tmp_path / "extracted").exists()
