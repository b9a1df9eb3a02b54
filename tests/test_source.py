import shutil

import openpyxl
import pytest
from etils import epath

from cxr_tfds.covid19_radiography import source

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
def manual_dir(tmp_path):
    """A copy with three images a class and masks for the first; the files are empty."""
    database = tmp_path / source.DATABASE
    for label, url in URLS.items():
        (database / label / "images").mkdir(parents=True)
        (database / label / "masks").mkdir()
        (database / label / "masks" / f"{label}-1.png").touch()
        for n in (1, 2, 3):
            (database / label / "images" / f"{label}-{n}.png").touch()
        rows = [(f"{label}-{n}", "PNG", "256*256", url) for n in range(1, 10)]
        write_workbook(database / f"{label}.metadata.xlsx", rows)
    return epath.Path(tmp_path)


def test_every_radiograph_is_found_with_label_source_and_mask(manual_dir):
    found = source.find_radiographs(manual_dir)
    assert [r.id for r in found] == [f"{label}-{n}" for label in source.CLASSES for n in (1, 2, 3)]
    assert [r.label for r in found] == [label for label in source.CLASSES for _ in range(3)]
    assert [r.source for r in found] == ["sirm"] * 3 + ["rsna"] * 6 + ["kermany"] * 3
    assert [r.mask is not None for r in found] == [True, False, False] * 4
    for radiograph in found:
        folder = manual_dir / source.DATABASE / radiograph.label
        assert radiograph.image == folder / "images" / f"{radiograph.id}.png"
        assert radiograph.mask in (None, folder / "masks" / f"{radiograph.id}.png")


def test_the_workbook_of_normal_spells_names_in_capitals(manual_dir):
    rows = [("NORMAL-1", "PNG", "256*256", RSNA), ("NORMAL-2", "PNG", "256*256", KERMANY)]
    write_workbook(manual_dir / source.DATABASE / "Normal.metadata.xlsx", rows)
    normal = [r for r in source.find_radiographs(manual_dir) if r.label == "Normal"]
    assert [r.source for r in normal] == ["rsna", "kermany", "unknown"]


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


def test_files_that_are_no_radiographs_are_ignored(manual_dir):
    before = source.find_radiographs(manual_dir)
    covid = manual_dir / source.DATABASE / "COVID"
    for stray in (".DS_Store", "Thumbs.db", "._COVID-1.png", "notes.txt"):
        (covid / "images" / stray).touch()
    (covid / "findings").mkdir()
    (covid / "findings" / "COVID-9.png").touch()
    assert source.find_radiographs(manual_dir) == before


def test_a_copy_without_masks_is_legal(manual_dir):
    shutil.rmtree(manual_dir / source.DATABASE / "Normal" / "masks")
    normal = [r for r in source.find_radiographs(manual_dir) if r.label == "Normal"]
    assert [r.mask for r in normal] == [None] * 3


def test_without_the_database_the_error_says_how_to_get_it(tmp_path):
    with pytest.raises(FileNotFoundError) as error:
        source.find_radiographs(epath.Path(tmp_path))
    for part in (str(tmp_path), "COVID-19 Radiography Database", "kaggle.com", "--manual_dir"):
        assert part in str(error.value)
    for label in source.CLASSES:
        assert f"{label}/images/{label}-1.png" in str(error.value)


def test_a_missing_class_is_named_with_the_path_expected(manual_dir):
    shutil.rmtree(manual_dir / source.DATABASE / "Lung_Opacity")
    with pytest.raises(FileNotFoundError, match="Lung_Opacity/images/Lung_Opacity-1.png"):
        source.find_radiographs(manual_dir)


def test_a_missing_workbook_is_named(manual_dir):
    workbook = manual_dir / source.DATABASE / "Viral Pneumonia.metadata.xlsx"
    workbook.unlink()
    with pytest.raises(FileNotFoundError, match=f"{workbook} is missing"):
        source.find_radiographs(manual_dir)


def test_a_workbook_without_its_columns_is_refused(manual_dir):
    workbook = manual_dir / source.DATABASE / "COVID.metadata.xlsx"
    write_workbook(workbook, [("COVID-1", SIRM)], header=("NAME", "URL"))
    with pytest.raises(ValueError, match=r"\['NAME', 'URL'\]; expected FILE NAME and URL"):
        source.find_radiographs(manual_dir)
