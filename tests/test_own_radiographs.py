"""Sixty phantoms of twenty patients and three sites: DICOM files and a manifest of a hospital."""

import collections
import csv
import hashlib
import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import tensorflow_datasets as tfds
from PIL import Image

import cxr_tfds
from cxr_command import split_table
from cxr_command.radiograph import links, manifest
from cxr_tfds import audit, dataset_flags, folds, phantom
from cxr_tfds.covid19_radiography import refusal, survey
from cxr_tfds.own_radiographs import own_radiographs_dataset_builder, patient_splits
from tests.conftest import ROOT
from tests.support import dicom_file
from tests.support.forked_commands import bare_machine
from trainer.data.examples import load_split
from trainer.data.opening import open_dataset

CLASSES = phantom.CLASSES[:3]
SITES = ("North", "South", "West")
HEADER = ["Path", "LABEL", "Patient", "Site", "Mask", "Sex", "Scanned"]
# A brighter copy of the first patient's radiograph, filed under another patient.
ORIGINAL, COPY = "scans/1.dcm", "scans/copy.png"
PACKAGE = Path(cxr_tfds.__file__).parent / "own_radiographs"


@pytest.fixture(scope="module")
def manual_dir(tmp_path_factory):
    folder = tmp_path_factory.mktemp("own")
    (folder / "scans").mkdir()
    rows = []
    for number in range(60):
        patient = number // 3
        label, site = CLASSES[patient % 3], SITES[patient // 3 % 3]
        drawn = phantom.draw(label, number + 1, 1)
        path = f"scans/{number + 1}.dcm"
        dicom_file.write(folder / path, 16 * drawn.image.astype(np.uint16) + 5)
        mask = "" if number else "lungs.png"
        rows.append([path, label, f"P{patient}", site, mask, "F", "1999"])
    lungs, brighter = phantom.draw(CLASSES[0], 1, 1).lungs, shown(folder / ORIGINAL) // 2 + 100
    Image.fromarray(np.where(lungs > 0, 1, 0).astype(np.uint8)).save(folder / "lungs.png")
    Image.fromarray(brighter).save(folder / COPY)
    rows.append([COPY, CLASSES[0], "P9", SITES[0], "", "F", "1999"])
    write_manifest(folder, [HEADER, *rows])
    return folder


@pytest.fixture(scope="module")
def data_dir(manual_dir, tmp_path_factory):
    directory = tmp_path_factory.mktemp("data")
    external = own_radiographs_dataset_builder.Configuration("external", test_sites=["West"])
    for config in ("full", "224x224", external):
        build(manual_dir, directory, config)
    return directory


def write_manifest(folder, rows):
    with open(folder / "manifest.csv", "w", encoding="utf-8-sig", newline="") as file:
        csv.writer(file).writerows(rows)


def manifest_rows(folder):
    with open(folder / "manifest.csv", encoding="utf-8-sig", newline="") as file:
        return list(csv.DictReader(file))


def build(manual_dir, data_dir, config="224x224"):
    builder = own_radiographs_dataset_builder.Builder(data_dir=data_dir, config=config)
    options = tfds.download.DownloadConfig(manual_dir=str(manual_dir))
    builder.download_and_prepare(download_config=options)
    return builder


def table(data_dir, config="224x224"):
    return split_table.read(dataset_flags.find_folder(data_dir, config, "own_radiographs"))


def shown(path):
    """The pixels of a file as Pillow or pydicom and NumPy give them."""
    if path.suffix != ".dcm":
        return np.array(Image.open(path))
    stored = dicom_file.pydicom.dcmread(path).pixel_array.astype(float)
    return np.round(255 * (stored - stored.min()) / np.ptp(stored)).astype(np.uint8)


def splits_of(rows, key):
    found = collections.defaultdict(set)
    for row in rows:
        found[key(row)].add(row.split)
    return found


@pytest.mark.parametrize("config", ["224x224", "full", "external"])
def test_all_radiographs_of_a_patient_are_in_one_split(config, manual_dir, data_dir):
    patients = {row["Path"]: row["Patient"] for row in manifest_rows(manual_dir)}
    rows = table(data_dir, config)
    assert len(rows) == 61
    assert set(map(len, splits_of(rows, lambda row: patients[row.id]).values())) == {1}
    assert not audit.straddling(audit.duplicate_groups(rows))


def test_every_split_has_every_class(data_dir):
    assert len({(row.split, row.label) for row in table(data_dir)}) == 3 * len(CLASSES)


def test_a_test_site_is_in_no_other_split(data_dir):
    rows = table(data_dir, "external")
    assert splits_of(rows, lambda row: row.source)["West"] == {"test"}
    assert {row.source for row in rows if row.split == "test"} == {"West"}
    trained = {row.label for row in rows if row.split == "train"}
    assert trained == {row.label for row in rows if row.split == "validation"} == set(CLASSES)


def test_copies_are_grouped_with_the_patients_of_both(manual_dir, data_dir):
    patients = {row["Path"]: row["Patient"] for row in manifest_rows(manual_dir)}
    group_of = {row.id: row.group for row in table(data_dir)}
    joined = {group_of[one] for one, patient in patients.items() if patient in ("P0", "P9")}
    assert joined == {ORIGINAL} and group_of[COPY] == ORIGINAL
    others = {group_of[one] for one, patient in patients.items() if patient not in ("P0", "P9")}
    assert len(others) == 18


def test_the_built_pixels_are_those_of_the_files(manual_dir, data_dir):
    dataset = open_dataset("own_radiographs/224x224", str(data_dir))
    assert dataset.class_names == tuple(sorted(CLASSES)) and dataset.stores_pixels
    labels = {row["Path"]: (row["LABEL"], row["Site"]) for row in manifest_rows(manual_dir)}
    ids = []
    for split in ("train", "validation", "test"):
        examples = load_split(dataset, split)
        for one in examples.take(np.arange(len(examples.ids))):
            resized = Image.fromarray(shown(manual_dir / one.id)).resize((224, 224), 2)
            np.testing.assert_array_equal(one.image[..., 0], np.array(resized), one.id)
            assert (dataset.class_names[one.label], one.source) == labels[one.id]
            assert (one.lungs is not None) == (one.id == ORIGINAL)
            ids.append(one.id)
    assert sorted(ids) == sorted(labels)


def test_a_mask_of_ones_is_read_as_lungs(manual_dir, data_dir):
    dataset = tfds.builder_from_directory(data_dir / "own_radiographs/224x224/1.0.0")
    masks = [one["mask"] for one in dataset.as_dataset(split="all") if one["has_mask"]]
    lungs = np.array(Image.open(manual_dir / "lungs.png")) * 255
    resized = np.array(Image.fromarray(lungs).resize((224, 224), Image.Resampling.BOX)) >= 128
    np.testing.assert_array_equal(masks, [resized[..., None]])


def test_full_keeps_the_size_of_the_files(manual_dir, data_dir):
    dataset = tfds.builder_from_directory(data_dir / "own_radiographs/full/1.0.0")
    for one in dataset.as_dataset(split="test"):
        pixels = shown(manual_dir / one["id"].numpy().decode())
        np.testing.assert_array_equal(one["image"][..., 0], pixels)
        assert (one["height"], one["width"]) == pixels.shape


def test_the_same_files_give_the_same_bytes_wherever_they_lie(manual_dir, data_dir, tmp_path):
    copy = tmp_path / "elsewhere"
    shutil.copytree(manual_dir, copy)
    again = build(copy, tmp_path / "data").data_path
    first = data_dir / "own_radiographs/224x224/1.0.0"
    for path in sorted(first.glob("*.tfrecord*")) + [first / "splits.csv"]:
        other = Path(again, path.name)
        assert hashlib.sha256(path.read_bytes()).digest() == (
            hashlib.sha256(other.read_bytes()).digest()
        ), path.name


def test_folds_keep_patients_whole(manual_dir, data_dir):
    patients = {row["Path"]: row["Patient"] for row in manifest_rows(manual_dir)}
    fold_of = folds.assign(table(data_dir), 4)
    assert len({(patients[one], fold) for one, fold in fold_of.items()}) == 20


def test_the_command_builds_it_by_its_path_with_test_sites(manual_dir, data_dir, tmp_path):
    option = json.dumps({"name": "external", "test_sites": ["West"]})
    words = ["build", PACKAGE, f"--manual_dir={manual_dir}", f"--data_dir={tmp_path}"]
    words.append(f"--config={option}")
    module = "tensorflow_datasets.scripts.cli.main"
    ended = bare_machine().run(module, list(map(str, words)), ROOT)
    assert ended.code == 0, ended.said
    assert table(tmp_path, "external") == table(data_dir, "external")
    assert "column 'scanned' is unknown and not read" in ended.said
    assert "sex: not stored" in ended.said


def test_class_folders_of_any_depth_are_built_with_their_masks(tmp_path):
    radiographs = PACKAGE.parent / "covid19_radiography/dummy_data/COVID-19_Radiography_Dataset"
    for label in ("COVID", "Normal"):
        for number in (1, 2, 3):
            folder = tmp_path / "own" / label / f"from {number}"
            for kind in ("images", "masks"):
                (folder / kind).mkdir(parents=True)
                name = f"{label}-{number}.png"
                shutil.copy(radiographs / label / kind / name, folder / kind / name)
    rows = list(build(tmp_path / "own", tmp_path / "data").as_dataset(split="all"))
    assert len(rows) == 6 and all(row["has_mask"] and row["mask"].numpy().any() for row in rows)
    assert {row["id"].numpy().decode() for row in rows} == {
        f"{label}/from {number}/images/{label}-{number}.png"
        for label in ("COVID", "Normal")
        for number in (1, 2, 3)
    }


def test_a_column_split_is_obeyed(manual_dir, tmp_path):
    rows = manifest_rows(manual_dir)
    of_patient = dict(zip(("P1", "P2", "P3"), ("train", "validation", "test"), strict=True))
    kept = [row for row in rows if row["Patient"] in of_patient]
    for row in kept:  # Two classes, each in two of the splits.
        row["split"], row["LABEL"] = of_patient[row["Patient"]], "ab"[int(row["Path"][-5]) % 2]
    own = tmp_path / "own"
    shutil.copytree(manual_dir / "scans", own / "scans")
    write_manifest(own, [[*HEADER, "split"], *([*row.values()] for row in kept)])
    build(own, tmp_path / "data")
    found = {row.id: row.split for row in table(tmp_path / "data")}
    assert found == {row["Path"]: row["split"] for row in kept}


def _change(number, column, value):
    def change(rows):
        rows[number][column] = value

    return change


def _rename(column, name):
    def change(rows):
        for row in rows:
            row[name] = row.pop(column)

    return change


def _patients_of_a_class(rows):
    for row in rows:
        if row["LABEL"] == CLASSES[1]:
            row["Patient"] = "P1"


def _one_class(rows):
    for row in rows:
        row["LABEL"] = "Normal"


MISTAKES = [
    ("a file that is not there", _change(4, "Path", "scans/x.dcm"), "line 6: there is no file sca"),
    ("a mask that is not there", _change(0, "Mask", "m.png"), "line 2: there is no file m.png"),
    ("no label", _change(2, "LABEL", ""), "line 4: no label"),
    ("a file twice", _change(1, "Path", "./scans/1.dcm"), "scans/1.dcm stands in line 2 too"),
    ("a path that leads out", _change(1, "Path", "../own/scans/2.dcm"), "not lie below"),
    ("no column label", _rename("LABEL", "finding"), "has no column label (its header: "),
    ("a patient by another name", _rename("Patient", "PatientID"), "column 'patientid': name it"),
    ("a site by another name", _rename("Site", "site_name"), "column 'site_name': name it 'site'"),
    ("a class of one patient", _patients_of_a_class, "has 1 patient to deal to train, validation"),
    ("one class", _one_class, "holds radiographs of one class alone, Normal"),
    ("an unknown split", _rename("Scanned", "split"), "the split is '1999', expected one of"),
    ("an age in words", _rename("Scanned", "age"), "the age is '1999', expected years"),
    ("a path of Windows", _change(1, "Path", "scans\\2.dcm"), "no file scans\\2.dcm; write / bet"),
    (
        "a class in small letters",
        _change(8, "LABEL", CLASSES[2].lower()),
        "the label 'normal' is s",
    ),
    (
        "a site in capitals",
        _change(3, "Site", "NORTH"),
        "site 'NORTH' is spelled 'North' in line 2",
    ),
    (
        "a patient's other spelling",
        _change(4, "Patient", "p1"),
        "patient 'p1' is spelled 'P1' in l",
    ),
    ("nobody's name", _change(4, "Patient", "N/A"), "line 6: the patient is 'N/A'; leave the cell"),
    ("a path through another folder", _change(1, "Path", "scans/../scans/1.dcm"), "in line 2 too"),
]


@pytest.mark.parametrize(
    ("mistake", "words"), [m[1:] for m in MISTAKES], ids=[m[0] for m in MISTAKES]
)
def test_a_mistake_is_one_sentence_before_any_picture_is_opened(
    mistake, words, manual_dir, tmp_path, monkeypatch
):
    own = tmp_path / "own"
    shutil.copytree(manual_dir, own)
    rows = manifest_rows(own)
    mistake(rows)
    write_manifest(own, [list(rows[0]), *(list(row.values()) for row in rows)])
    monkeypatch.setattr(survey, "inspect_here", lambda *_: pytest.fail("a picture was opened"))
    with pytest.raises(refusal.RefusedError) as error:
        build(own, tmp_path / "data")
    assert words in str(error.value)
    assert not list((tmp_path / "data").rglob("dataset_info.json"))


@pytest.mark.parametrize(
    ("folder", "words"),
    [
        ("", "expected one sub-folder of radiographs for each class; or list the radiographs in"),
        ("images", "in the folder images, which names no class"),
        ("Normal", "radiographs of one class alone, Normal; expected two or more"),
    ],
)
def test_folders_that_are_no_classes_are_told(folder, words, manual_dir, tmp_path):
    own = tmp_path / "own"
    (own / folder).mkdir(parents=True)
    for number in (1, 2, 3):
        shutil.copy(manual_dir / f"scans/{number}.dcm", own / folder)
    with pytest.raises(refusal.RefusedError) as error:
        build(own, tmp_path / "data")
    assert words in str(error.value)


@pytest.mark.parametrize("name", ["Manifest.CSV", "manifest.xlsx", "manifest.csv.txt"])
def test_a_manifest_of_another_name_is_not_passed_over(name, tmp_path):
    for label in ("Normal", "Pneumonia"):
        (tmp_path / "own" / label).mkdir(parents=True)
        Image.new("L", (40, 40)).save(tmp_path / "own" / label / "1.png")
    (tmp_path / "own" / name).write_text("path,label,patient\n")
    with pytest.raises(refusal.RefusedError, match=f"holds {name} and no manifest.csv: save it"):
        build(tmp_path / "own", tmp_path / "data")


def test_two_spellings_of_a_class_are_not_two_classes(tmp_path):
    for label in ("Normal", "normal", "Pneumonia"):
        (tmp_path / "own" / label).mkdir(parents=True)
        Image.new("L", (40, 40)).save(tmp_path / "own" / label / "1.png")
    with pytest.raises(refusal.RefusedError, match="the classes 'Normal' and 'normal'; use one"):
        build(tmp_path / "own", tmp_path / "data")


def test_files_that_are_no_radiographs_stop_the_build_in_one_list(manual_dir, tmp_path):
    own = tmp_path / "own"
    shutil.copytree(manual_dir, own)
    (own / "scans/1.dcm").write_bytes((own / "scans/1.dcm").read_bytes()[:2000])
    (own / "scans/2.dcm").write_bytes(b"")
    Image.new("L", (80, 80), 7).save(own / COPY)
    dicom_file.write(own / "scans/3.dcm", np.arange(400, dtype=np.uint16).reshape(20, 20))
    dicom_file.write(own / "scans/4.dcm", ViewPosition="LL")
    with pytest.raises(refusal.RefusedError) as error:
        build(own, tmp_path / "data")
    said = str(error.value)
    for words in (
        "Found 5 faults",
        "damaged DICOM",
        "zero bytes",
        "every pixel",
        "20x20",
        "lateral",
    ):
        assert words in said
    assert "the manifest" in said and "Kaggle" not in said


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"test_sites": ["Wst"]}, "no site Wst to test on; the sites are North, South, West"),
        ({"test_sites": list(SITES)}, "Nothing is left for train and validation"),
        ({"test_sites": "West"}, 'expected a list: ["North", "South"]'),
        ({"test_site": ["West"]}, "no option test_site"),
        ({"full": "yes"}, "expected true or false"),
        ({"name": None}, "--config has no name; expected one of letters, digits"),
        ({"name": "a b"}, "--config has the name 'a b'; expected one of letters"),
    ],
)
def test_wrong_options_are_told(options, words, manual_dir, tmp_path):
    with pytest.raises(refusal.RefusedError) as error:
        config = own_radiographs_dataset_builder.Configuration(**{"name": "external", **options})
        build(manual_dir, tmp_path, config)
    assert words in str(error.value)


def test_a_configuration_that_there_is_not_is_told_with_how_to_make_one(tmp_path):
    with pytest.raises(refusal.RefusedError) as error:
        own_radiographs_dataset_builder.Builder(data_dir=tmp_path, config="sites")
    assert "BuilderConfig sites not found with version 1.0.0. Expected --config=full or" in str(
        error.value
    )
    assert '"test_sites": ["North", "South"]' in str(error.value)


def test_other_test_sites_are_not_taken_for_those_that_are_built(manual_dir, data_dir):
    configuration = own_radiographs_dataset_builder.Configuration
    before = table(data_dir, "external")
    with pytest.raises(refusal.RefusedError, match=r"Test sites: West\).*Test sites: North\)"):
        build(manual_dir, data_dir, configuration("external", test_sites=["North"]))
    build(manual_dir, data_dir, configuration("external", test_sites=["West", "West"]))
    assert table(data_dir, "external") == before


def test_radiographs_of_no_site_are_not_trained_on_beside_test_sites():
    labels = {f"{n}": "ab"[n % 2] for n in range(18)}
    sites = {one: ("North", "unknown", "South")[int(one) // 6] for one in labels}
    with pytest.raises(patient_splits.SplitError, match="No site is given of 6 radiographs, such"):
        patient_splits.PatientSplits({}, sites, ("South",))(labels, {one: one for one in labels})
    split = patient_splits.PatientSplits({}, sites, ("South", "unknown"))
    split_of = split(labels, {one: one for one in labels})
    assert {sites[one] for one in labels if split_of[one] != "test"} == {"North"}


def test_a_patient_of_two_sites_cannot_be_tested_by_site():
    labels = {f"{n}": "ab"[n % 2] for n in range(12)}
    sites = {one: "North" if int(one) < 6 else "South" for one in labels}
    groups = links.join(
        {one: one for one in labels}, {"5": ("x",), "6": ("x",), **_no_links(labels)}
    )
    with pytest.raises(patient_splits.SplitError, match=r"5 \(train or validation\), 6 \(test\)"):
        patient_splits.PatientSplits({}, sites, ("South",))(labels, groups)


def _no_links(labels):
    return {one: () for one in labels if one not in ("5", "6")}


def test_patients_are_held_out_by_tenths_of_every_class_whatever_they_are_called():
    generator = np.random.default_rng(0)
    patients = [f"p{n}" for n in range(300)]
    label_of = {patient: "abc"[n % 10 // 4] for n, patient in enumerate(patients)}
    ids = [(p, n) for p in patients for n in range(generator.integers(1, 6))]
    labels = {f"{p}/{n}": label_of[p] for p, n in ids}
    groups = {f"{p}/{n}": p for p, n in ids}
    split_of = patient_splits.PatientSplits({}, {})(labels, groups)
    count = collections.Counter({(label_of[groups[i]], s, groups[i]) for i, s in split_of.items()})
    found = collections.Counter(key[:2] for key in count)
    sizes = {"a": 120, "b": 120, "c": 60}
    assert found == {
        (label, split): size * share // 10
        for label, size in sizes.items()
        for split, share in (("train", 8), ("validation", 1), ("test", 1))
    }
    renamed = patient_splits.PatientSplits({}, {})(
        {f"x{one}": label for one, label in reversed(labels.items())},
        {f"x{one}": group for one, group in groups.items()},
    )
    assert renamed == {f"x{one}": split for one, split in split_of.items()}


def test_links_join_whatever_they_lead_to():
    groups = {"a": "a", "b": "b", "c": "b", "d": "d", "e": "e"}
    joined = links.join(groups, {"a": ("p",), "b": (), "c": ("p", "q"), "d": ("q",), "e": ("r",)})
    assert joined == {"a": "a", "b": "a", "c": "a", "d": "a", "e": "e"}


@pytest.mark.parametrize("mark", [",", ";", "\t"])
def test_a_table_is_read_as_spreadsheets_of_any_country_save_it(mark, tmp_path):
    (tmp_path / "a, b.png").touch()
    rows = f"\ufeffPATH{mark}label {mark}site\r\n'a, b.png'{mark} Normal\xa0{mark}Ko\u0308ln\r\n"
    (tmp_path / "cases.csv").write_text(rows.replace("'", '"'), "utf-8", newline="")
    (case,) = manifest.read(tmp_path / "cases.csv").cases
    assert case == manifest.Case(2, "a, b.png", label="Normal", site="Köln")


def test_a_table_of_another_encoding_or_header_is_told(tmp_path):
    path = tmp_path / "cases.csv"
    for content, words in (
        ("path,label\nä.png,x\n".encode("latin-1"), "save it as CSV in UTF-8"),
        (b"path,label\n", "no radiograph"),
        (b"", "has no column path"),
        (b"path,path\na,b\n", "the column path twice"),
        (b"path,label\na.png,x,y\n", "line 2: 3 cells, expected 2"),
    ):
        path.write_bytes(content)
        with pytest.raises(manifest.ManifestError, match=words):
            manifest.read(path)
    with pytest.raises(manifest.ManifestError, match="no manifest found at"):
        manifest.read(tmp_path / "none.csv")
