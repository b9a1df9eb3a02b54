"""Damages a phantom database in every way a download can be damaged, and builds it.

    python -m pytest -m slow -s tests/test_drills.py

prints a table of what each kind of bad input gave.
"""

import logging
import os
import shutil
import zipfile

import openpyxl
import pytest
import tensorflow_datasets as tfds
from PIL import Image

import cxr_tfds  # noqa: F401
from cxr_tfds import phantom
from cxr_tfds.covid19_radiography import disk
from cxr_tfds.covid19_radiography.faults import Kind

pytestmark = pytest.mark.slow

IMAGE = "COVID/images/COVID-2.png"
MASK = "COVID/masks/COVID-2.png"
WORKBOOK = "COVID.metadata.xlsx"


def overwrite(name, content):
    return lambda database: (database / name).write_bytes(content)


def truncate(name):
    return lambda database: os.truncate(database / name, (database / name).stat().st_size // 2)


def redraw(name, mode="L", size=(299, 299), value=100, **options):
    """Replaces a file by a picture of one value, with one other pixel unless told otherwise."""

    def draw(database):
        picture = Image.new(mode, size, value)
        if not options.get("constant"):
            picture.putpixel((0, 0), 0)
        picture.save(database / name, options.get("format", "PNG"))

    return draw


def bomb(name):
    def draw(database):
        content = bytearray((database / name).read_bytes())
        content[16:24] = (60_000).to_bytes(4, "big") * 2
        (database / name).write_bytes(content)

    return draw


def rename(name, new_name):
    return lambda database: (database / name).rename(database / new_name)


def remove(name):
    return lambda database: (database / name).unlink()


def rewrite_workbook(change):
    def rewrite(database):
        book = openpyxl.load_workbook(database / WORKBOOK)
        change(book.active)
        book.save(database / WORKBOOK)

    return rewrite


def folder_in_place_of(name):
    def replace(database):
        (database / name).unlink()
        (database / name).mkdir()

    return replace


def link_out(name):
    def link(database):
        outside = database.parent.parent / "outside.png"
        (database / name).rename(outside)
        (database / name).symlink_to(outside)

    return link


STOPS = {
    "zero bytes": (overwrite(IMAGE, b""), Kind.EMPTY, IMAGE),
    "truncated PNG": (truncate(IMAGE), Kind.DAMAGED, IMAGE),
    "truncated mask": (overwrite(MASK, b"\x89PNG\r\n\x1a\n"), Kind.DAMAGED, MASK),
    "JPEG named .png": (redraw(IMAGE, format="JPEG"), Kind.JPEG, IMAGE),
    "text named .png": (overwrite(IMAGE, b"<html>"), Kind.NOT_PNG, IMAGE),
    "1x1": (redraw(IMAGE, size=(1, 1), constant=True), Kind.TINY, IMAGE),
    "decompression bomb": (bomb(IMAGE), Kind.ENORMOUS, IMAGE),
    "all one value": (redraw(IMAGE, constant=True), Kind.ONE_VALUE, IMAGE),
    "wrong class folder": (rename("COVID", "Covid"), Kind.WRONG_FOLDER, "Covid"),
    "file of another class": (
        rename("Normal/images/Normal-2.png", "COVID/images/Normal-2.png"),
        Kind.WRONG_NAME,
        "COVID/images/Normal-2.png",
    ),
    "missing workbook": (remove(WORKBOOK), Kind.NO_WORKBOOK, WORKBOOK),
    "workbook without a column": (
        rewrite_workbook(lambda sheet: sheet.delete_cols(4)),
        Kind.WRONG_WORKBOOK,
        WORKBOOK,
    ),
    "workbook with a wrong id": (
        rewrite_workbook(lambda sheet: sheet.cell(2, 1, "COVlD-1")),
        Kind.WRONG_ID,
        WORKBOOK,
    ),
    "damaged workbook": (truncate(WORKBOOK), Kind.WRONG_WORKBOOK, WORKBOOK),
    "mask of other proportions": (redraw(MASK, size=(256, 128)), Kind.MASK_SHAPE, MASK),
    "unreadable file": (folder_in_place_of(IMAGE), Kind.UNREADABLE, IMAGE),
    "link out of the folder": (link_out(IMAGE), Kind.LEAVES_FOLDER, IMAGE),
}
KEPT = {
    "16-bit PNG": (redraw(IMAGE, mode="I;16", value=36_000), Kind.SIXTEEN_BITS, IMAGE),
    "mask of another size": (redraw(MASK, size=(299, 299)), Kind.MASK_SIZE, MASK),
    "mask of one value": (
        redraw(MASK, size=(256, 256), value=0, constant=True),
        Kind.MASK_EMPTY,
        MASK,
    ),
    "mask without image": (remove(IMAGE), Kind.MASK_ALONE, MASK),
    "image without mask": (remove(MASK), Kind.MASKS_MISSING, "COVID/masks"),
    "image without workbook row": (
        rewrite_workbook(lambda sheet: sheet.delete_rows(3)),
        Kind.NO_ROW,
        IMAGE,
    ),
    "class without images": (
        lambda database: shutil.rmtree(database / "Normal"),
        Kind.IMAGES_MISSING,
        "Normal/images",
    ),
}


@pytest.fixture(scope="module")
def pristine(tmp_path_factory):
    return phantom.write_database(tmp_path_factory.mktemp("phantom"), 4)


@pytest.fixture
def database(pristine, tmp_path):
    return shutil.copytree(pristine, tmp_path / "manual" / pristine.name)


@pytest.fixture(scope="module")
def table():
    rows = []
    yield lambda *cells: rows.append(cells)
    print()
    for name, outcome, message in sorted(rows, key=lambda row: row[1] != "stops"):
        print(f"{name:28} {outcome:18} {message}")


def build(tmp_path):
    builder = tfds.builder("covid19_radiography/224x224", data_dir=tmp_path / "data")
    config = tfds.download.DownloadConfig(manual_dir=tmp_path / "manual")
    builder.download_and_prepare(download_config=config)
    return sum(split.num_examples for split in builder.info.splits.values())


def refusal(tmp_path):
    """Builds, and returns the message of the refusal; nothing half-built may be left."""
    with pytest.raises((ValueError, OSError)) as error:
        build(tmp_path)
    left = [path.name for path in (tmp_path / "data").rglob("*") if path.is_file()]
    assert left == ["metadata.json"]  # TFDS's own note of the default configuration.
    assert not list((tmp_path / "data").rglob("*incomplete*"))
    return str(error.value)


@pytest.mark.parametrize("name", STOPS)
def test_it_stops_the_build(name, database, tmp_path, table):
    damage, kind, path = STOPS[name]
    damage(database)
    message = refusal(tmp_path)
    lines = message.splitlines()
    assert lines[0].startswith("Found 1 fault in ")
    assert lines[1] == f"  {kind.text} (1):"
    assert lines[2].startswith(f"    {path}")
    assert len(lines) == 3
    table(name, "stops", f"{kind.text}:{lines[2][3:]}")


@pytest.mark.parametrize("name", KEPT)
def test_it_is_reported_and_kept(name, database, tmp_path, table, caplog):
    damage, kind, path = KEPT[name]
    damage(database)
    logging.getLogger("absl").addHandler(caplog.handler)
    try:
        examples = build(tmp_path)
    finally:
        logging.getLogger("absl").removeHandler(caplog.handler)
    assert examples == len(list(database.glob("*/images/*.png")))
    lines = caplog.text.splitlines()
    place = lines.index(f"  {kind.text} (1):")
    assert lines[place + 1].startswith(f"    {path}")
    table(name, f"kept, {examples} of 16", f"{kind.text}:{lines[place + 1][3:]}")


def test_everything_at_once_is_listed_in_one_message(database, tmp_path, table):
    for number, content in enumerate([b"", b"text", b"\xff\xd8\xff", b""], start=1):
        overwrite(f"COVID/images/COVID-{number}.png", content)(database)
    remove("Normal.metadata.xlsx")(database)
    message = refusal(tmp_path)
    assert message.startswith("Found 5 faults in ")
    assert (
        "  zero bytes (2):\n    COVID/images/COVID-1.png\n    COVID/images/COVID-4.png" in message
    )
    for kind in (Kind.NOT_PNG, Kind.JPEG, Kind.NO_WORKBOOK):
        assert f"  {kind.text} (1):\n" in message
    table("five faults at once", "stops", message.splitlines()[0].split(" in ")[0])


def test_a_full_disk_stops_it_before_it_writes(database, tmp_path, table, monkeypatch):
    usage = shutil.disk_usage(tmp_path)._replace(free=100_000)
    monkeypatch.setattr(disk.shutil, "disk_usage", lambda _: usage)
    message = refusal(tmp_path)
    assert message.startswith("Not enough disk: building covid19_radiography/224x224/1.0.0 needs")
    table("not enough disk", "stops", message.split(" in ")[0])


@pytest.mark.parametrize("name", ["../outside.png", "COVID-19_Radiography_Dataset/bomb.png"])
def test_a_malicious_zip_file_stops_it(name, database, tmp_path, table):
    with zipfile.ZipFile(tmp_path / "manual" / "archive.zip", "w", zipfile.ZIP_DEFLATED) as file:
        file.writestr(name, bytes(30_000_000 if "bomb" in name else 10))
        file.write(database / IMAGE, f"{database.name}/{IMAGE}")
    shutil.rmtree(database)
    message = refusal(tmp_path)
    assert "Is it the file from Kaggle?" in message
    assert not list(tmp_path.rglob("outside.png"))
    table(f"zip with {name.split('/')[-1]}", "stops", message.split("archive.zip ")[1][:60])
