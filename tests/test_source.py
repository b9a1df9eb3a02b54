import os
import shutil

import openpyxl
import pytest
from etils import epath

from cxr_tfds.covid19_radiography import source
from cxr_tfds.covid19_radiography.faults import Fault, Kind

RSNA = "https://www.kaggle.com/c/rsna-pneumonia-detection-challenge/data"
KERMANY = "https://www.kaggle.com/paultimothymooney/chest-xray-pneumonia"
SIRM = "https://sirm.org/category/senza-categoria/covid-19/"
URLS = {"COVID": SIRM, "Lung_Opacity": RSNA, "Normal": RSNA, "Viral Pneumonia": KERMANY}


def write_workbook(path, rows, header=("FILE NAME", "FORMAT", "SIZE", "URL")):
    workbook = openpyxl.Workbook()
    for row in (header, *rows):
        workbook.active.append(row)
    workbook.save(path)


@pytest.fixture
def database(tmp_path):
    """A copy with three images a class and masks for the first; the files are empty."""
    database = tmp_path / source.DATABASE
    for label, url in URLS.items():
        (database / label / "images").mkdir(parents=True)
        (database / label / "masks").mkdir()
        (database / label / "masks" / f"{label}-1.png").touch()
        for n in (1, 2, 10):
            (database / label / "images" / f"{label}-{n}.png").touch()
        rows = [(f"{label}-{n}", "PNG", "256*256", url) for n in range(1, 13)]
        write_workbook(database / f"{label}.metadata.xlsx", rows)
    return epath.Path(database)


def radiographs_in(database):
    return source.find_radiographs(database)[0]


def faults_in(database, *kinds):
    """The faults of these kinds, or all that stop a build."""
    _, faults = source.find_radiographs(database)
    return [fault for fault in faults if (fault.kind in kinds if kinds else fault.kind.stops)]


def test_every_radiograph_is_found_with_label_source_and_mask(database):
    found = radiographs_in(database)
    assert [r.id for r in found] == [f"{label}-{n}" for label in source.CLASSES for n in (1, 2, 10)]
    assert [r.label for r in found] == [label for label in source.CLASSES for _ in range(3)]
    assert [r.source for r in found] == ["sirm"] * 3 + ["rsna"] * 6 + ["kermany"] * 3
    assert [r.mask is not None for r in found] == [True, False, False] * 4
    for radiograph in found:
        folder = database / radiograph.label
        assert radiograph.image == folder / "images" / f"{radiograph.id}.png"
        assert radiograph.mask in (None, folder / "masks" / f"{radiograph.id}.png")
    assert not faults_in(database)


def test_the_workbook_of_normal_spells_names_in_capitals(database):
    rows = [("NORMAL-1", "PNG", "256*256", RSNA), ("NORMAL-2", "PNG", "256*256", KERMANY)]
    write_workbook(database / "Normal.metadata.xlsx", rows)
    normal = [r for r in radiographs_in(database) if r.label == "Normal"]
    assert [r.source for r in normal] == ["rsna", "kermany", "unknown"]
    assert faults_in(database, Kind.NO_ROW) == [Fault("Normal/images/Normal-10.png", Kind.NO_ROW)]


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        (
            "https://bimcv.cipf.es/bimcv-projects/bimcv-covid19/#1590858128006-9e640421-6711",
            "bimcv",
        ),
        ("https://github.com/armiro/COVID-CXNet", "covid_cxnet"),
        ("https://eurorad.org", "eurorad"),
        (
            "https://github.com/ml-workgroup/covid-19-image-repository/tree/master/png",
            "hannover",
        ),
        ("https://github.com/ieee8023/covid-chestxray-dataset", "ieee8023"),
        (KERMANY, "kermany"),
        (RSNA, "rsna"),
        (SIRM, "sirm"),
        ("https://example.org", "unknown"),
    ],
)
def test_published_urls_name_their_source(url, expected):
    assert source.source_of_url(url) == expected


def test_files_that_are_no_radiographs_are_ignored(database):
    before = source.find_radiographs(database)
    covid = database / "COVID"
    for stray in (".DS_Store", "Thumbs.db", "._COVID-1.png", "notes.txt"):
        (covid / "images" / stray).touch()
    (covid / "findings").mkdir()
    (covid / "findings" / "COVID-9.png").touch()
    (database / "notes").mkdir()
    assert source.find_radiographs(database) == before


def test_a_partial_copy_is_legal_and_says_what_is_missing(database):
    shutil.rmtree(database / "Normal" / "masks")
    shutil.rmtree(database / "Lung_Opacity")
    assert {r.label for r in radiographs_in(database)} == set(source.CLASSES) - {"Lung_Opacity"}
    assert not faults_in(database)
    missing = faults_in(database, Kind.IMAGES_MISSING, Kind.MASKS_MISSING)
    assert {(fault.path, fault.found) for fault in missing} == {
        ("COVID/images", "9 of 12"),
        ("COVID/masks", "2 of 3"),
        ("Lung_Opacity/images", "12 of 12"),
        ("Normal/images", "9 of 12"),
        ("Normal/masks", "3 of 3"),
        ("Viral Pneumonia/images", "9 of 12"),
        ("Viral Pneumonia/masks", "2 of 3"),
    }


def test_a_copy_without_any_image_is_refused(database):
    for label in source.CLASSES:
        shutil.rmtree(database / label / "images")
    assert [fault.kind for fault in faults_in(database)] == [Kind.NO_IMAGE]


def test_a_mask_without_an_image_is_reported(database):
    (database / "COVID" / "masks" / "COVID-7.png").touch()
    alone = Fault("COVID/masks/COVID-7.png", Kind.MASK_ALONE)
    assert faults_in(database, Kind.MASK_ALONE) == [alone]
    assert not faults_in(database)


@pytest.mark.parametrize("name", ["Covid", "Lung Opacity", "COVID-19"])
def test_a_wrong_class_folder_is_refused(database, name):
    (database / "COVID").rename(database / name)
    assert [(f.path, f.kind) for f in faults_in(database)] == [(name, Kind.WRONG_FOLDER)]


@pytest.mark.parametrize("name", ["Normal-3.png", "COVID.png", "COVID-03.png", "covid-3.png"])
def test_a_file_not_named_after_its_class_is_refused(database, name):
    (database / "COVID" / "images" / name).touch()
    assert faults_in(database) == [Fault(f"COVID/images/{name}", Kind.WRONG_NAME)]


def test_a_missing_workbook_is_named(database):
    (database / "Viral Pneumonia.metadata.xlsx").unlink()
    assert faults_in(database) == [Fault("Viral Pneumonia.metadata.xlsx", Kind.NO_WORKBOOK)]


def test_a_workbook_without_its_columns_is_refused(database):
    write_workbook(database / "COVID.metadata.xlsx", [("COVID-1", SIRM)], header=("NAME", "URL"))
    (fault,) = faults_in(database)
    assert fault.kind == Kind.WRONG_WORKBOOK
    assert "('NAME', 'URL')" in fault.found


@pytest.mark.parametrize("content", [b"", b"no workbook", b"PK\x03\x04 half a zip file"])
def test_a_file_that_is_no_workbook_is_refused(database, content):
    (database / "COVID.metadata.xlsx").write_bytes(content)
    assert [fault.kind for fault in faults_in(database)] == [Kind.WRONG_WORKBOOK]


def test_a_workbook_without_rows_names_no_columns(database):
    openpyxl.Workbook().save(database / "COVID.metadata.xlsx")
    (fault,) = faults_in(database)
    assert (fault.kind, fault.found) == (Kind.WRONG_WORKBOOK, "found the columns ()")


def test_wrong_and_repeated_ids_of_a_workbook_are_listed_by_row(database):
    names = ["COVID-1", "Normal-2", "COVID-x", None, "COVID-1"]
    rows = [(name, "PNG", "256*256", SIRM) for name in names]
    write_workbook(database / "COVID.metadata.xlsx", rows)
    found = [(fault.kind, fault.found) for fault in faults_in(database)]
    assert found == [
        (Kind.WRONG_ID, "row 3 says Normal-2"),
        (Kind.WRONG_ID, "row 4 says COVID-x"),
        (Kind.WRONG_ID, "row 5 says None"),
        (Kind.WRONG_ID, "row 6 says COVID-1"),
    ]


@pytest.mark.parametrize("part", ["COVID", "COVID/images", "COVID.metadata.xlsx"])
def test_links_out_of_the_folder_are_refused(database, tmp_path, part):
    elsewhere = tmp_path / "elsewhere"
    (database / part).rename(elsewhere)
    os.symlink(elsewhere, database / part)
    assert {fault.kind for fault in faults_in(database)} == {Kind.LEAVES_FOLDER}


def test_a_link_that_leads_nowhere_is_no_missing_folder(database):
    shutil.rmtree(database / "Normal" / "masks")
    os.symlink("nowhere", database / "Normal" / "masks")
    (fault,) = faults_in(database)
    assert (fault.path, fault.kind) == ("Normal/masks", Kind.UNREADABLE)


def test_what_may_not_be_listed_or_read_is_said_and_not_taken_for_missing(database, monkeypatch):
    listdir, read_bytes = os.listdir, epath.Path.read_bytes
    forbidden = {database / "COVID" / "images", database / "Normal.metadata.xlsx"}

    def refuse(path):
        if epath.Path(path) in forbidden:
            raise PermissionError(13, "Permission denied", str(path))

    monkeypatch.setattr(os, "listdir", lambda path: refuse(path) or listdir(path))
    monkeypatch.setattr(type(database), "read_bytes", lambda path: refuse(path) or read_bytes(path))
    assert faults_in(database) == [
        Fault("COVID/images", Kind.UNREADABLE, "Permission denied"),
        Fault("Normal.metadata.xlsx", Kind.UNREADABLE, "Permission denied"),
    ]


def test_a_file_in_place_of_a_folder_is_said(database):
    shutil.rmtree(database / "COVID" / "masks")
    (database / "COVID" / "masks").touch()
    assert faults_in(database) == [Fault("COVID/masks", Kind.UNREADABLE, "Not a directory")]


def test_pattern_letters_are_letters_of_a_folders_name(database):
    moved = database.rename(database.parent / "a [1] *?")
    (database.parent / "a 1 xy").mkdir()
    assert len(radiographs_in(moved)) == 12
    (moved / "COVID").rename(moved / "C[O]VID")
    assert [(f.path, f.kind) for f in faults_in(moved)] == [("C[O]VID", Kind.WRONG_FOLDER)]


def test_names_that_are_not_utf8_are_named(database):
    images = os.fsencode(database / "COVID" / "images")
    with open(images + b"/COVID-\xff.png", "wb"):
        pass
    os.mkdir(os.fsencode(database) + b"/Covid\xfe")
    with open(os.fsencode(database) + b"/Covid\xfe/COVID-1.png", "wb"):
        pass
    assert {(fault.path, fault.kind) for fault in faults_in(database)} == {
        ("COVID/images/COVID-\udcff.png", Kind.WRONG_NAME),
        ("Covid\udcfe", Kind.WRONG_FOLDER),
    }


def test_the_database_itself_may_be_a_link(database, tmp_path):
    os.symlink(database, tmp_path / "link")
    assert not faults_in(epath.Path(tmp_path / "link"))


def test_ids_sort_as_people_count():
    ids = ["COVID-10", "COVID-9", "Viral Pneumonia-1", "Normal-2"]
    assert sorted(ids, key=source.number_of) == [
        "COVID-9",
        "COVID-10",
        "Normal-2",
        "Viral Pneumonia-1",
    ]


def test_a_suffix_in_capitals_is_read(database):
    image = database / "COVID" / "images" / "COVID-1.png"
    image.rename(image.with_suffix(".PNG"))
    assert [r.image.name for r in radiographs_in(database)][:3] == [
        "COVID-1.PNG",
        "COVID-2.png",
        "COVID-10.png",
    ]
    assert not faults_in(database)
    image.touch()
    assert [fault.kind for fault in faults_in(database)] == [Kind.TWICE]


@pytest.mark.parametrize("name", ["COVID-3.jpg", "COVID-3.JPEG", "COVID-3.tif", "COVID-3.dcm"])
@pytest.mark.parametrize("folder", ["images", "masks"])
def test_an_image_of_another_kind_stops_the_build(database, name, folder):
    (database / "COVID" / folder / name).touch()
    assert faults_in(database) == [Fault(f"COVID/{folder}/{name}", Kind.NOT_NAMED_PNG)]


@pytest.mark.parametrize(
    ("name", "fault"),
    [
        ("COVID/Images/COVID-3.png", ("COVID/Images", "1, such as COVID-3.png")),
        ("COVID/images/more/COVID-3.png", ("COVID/images/more", "1, such as COVID-3.png")),
        ("COVID/COVID-3.png", ("COVID/COVID-3.png", "")),
        ("COVID-3.png", ("COVID-3.png", "")),
    ],
)
def test_an_image_where_none_is_read_stops_the_build(database, name, fault):
    (database / name).parent.mkdir(exist_ok=True)
    (database / name).touch()
    assert [(f.path, f.found) for f in faults_in(database)] == [fault]
    assert faults_in(database)[0].kind == Kind.WRONG_PLACE
