import csv
import json

import numpy as np
import pytest
from PIL import Image

from tests.conftest import run_command
from tests.support.report_schemas import require_valid
from trainer.data.cases import age_group, load_manifest
from trainer.errors import UserError

SHAPE = (16, 16, 1)
CLASSES = ("COVID", "Normal")


def write_table(folder, rows):
    with open(folder / "cases.csv", "w", newline="") as file:
        csv.writer(file).writerows(rows)
    return folder / "cases.csv"


@pytest.fixture
def folder(tmp_path):
    for name in ("a", "b", "c", "d"):
        gray = np.linspace(0, 255, 256).reshape(16, 16) + ord(name) - 97
        Image.fromarray(gray.clip(0, 255).astype(np.uint8)).save(tmp_path / f"{name}.png")
    return tmp_path


def test_what_a_table_says_is_known_of_each_example(folder):
    rows = [
        ["path", "Label", "PATIENT", "site", "age", "sex", "group"],
        ["a.png", "Normal", "1", "North", "0.5", "F", ""],
        ["b.png", "COVID", "1", "", "39", "", "x"],
        ["c.png", "COVID", "", "South", "80", "M", "x"],
        ["d.png", "Normal", "", "South", "", "M", ""],
    ]
    found = load_manifest(write_table(folder, rows), CLASSES, SHAPE)
    assert found.ids.tolist() == ["a.png", "b.png", "c.png", "d.png"]
    assert found.labels.tolist() == [1, 0, 0, 1]  # A patient may be in two classes.
    assert found.groups.tolist() == ["a.png"] * 3 + ["d.png"]
    assert found.sources.tolist() == ["North", "", "South", "South"]
    assert {name: values.tolist() for name, values in found.attributes.items()} == {
        "site": ["North", "unknown", "South", "South"],
        "sex": ["F", "unknown", "M", "M"],
        "age": ["0-17", "18-39", "80+", "unknown"],
    }
    np.testing.assert_array_equal(found.images[2, ..., 0], np.array(Image.open(folder / "c.png")))


def test_without_patients_nobody_knows_the_groups(folder):
    found = load_manifest(
        write_table(folder, [["path", "label"], ["a.png", "COVID"]]), CLASSES, SHAPE
    )
    assert found.groups is None and found.sources is None and found.attributes == {}


def test_a_file_that_is_no_radiograph_is_left_out_and_the_rows_stay_together(folder):
    (folder / "b.png").write_text("no image")
    rows = [["path", "label", "site"]]
    rows += [[f"{name}.png", "Normal", name] for name in "abc"]
    found = load_manifest(write_table(folder, rows), CLASSES, SHAPE)
    assert found.ids.tolist() == ["a.png", "c.png"]
    assert found.attributes["site"].tolist() == ["a", "c"]
    assert "1 file left out" in found.account.told()


def test_a_label_that_is_no_class_is_told(folder):
    table = write_table(folder, [["path", "label"], ["a.png", CLASSES[0]], ["b.png", "normal"]])
    with pytest.raises(
        UserError, match="the label 'normal' in line 3, which is not a class of the"
    ):
        load_manifest(table, CLASSES, SHAPE)


@pytest.mark.parametrize(
    ("years", "group"),
    [("0", "0-17"), ("17.9", "0-17"), ("18", "18-39"), ("59", "40-59"), ("79", "60-79")],
)
def test_ages_are_grouped(years, group):
    assert age_group(years) == group
    assert age_group("80") == age_group("103") == "80+"


def test_a_run_is_evaluated_on_a_table(finished_run, phantom_database, data_dir, tmp_path):
    table = [["path", "label", "patient", "site", "sex", "view"]]
    split_of = {}
    path = data_dir / "covid19_radiography/224x224/1.0.0/splits.csv"
    with open(path, newline="") as file:
        for row in csv.DictReader(file):
            split_of[row["id"]] = row["split"]
    for number, path in enumerate(sorted(phantom_database.glob("*/*/images/*.png"))):
        place, label = ("North", "South")[number % 2], path.parents[1].name
        table.append([path, label, f"P{number // 4}", place, "FM"[number // 4 % 2], "PA"])
    run_command(
        "trainer.evaluate", f"--workdir={finished_run}", "--resamples=100",
        f"--manifest={write_table(tmp_path, table)}", f"--output_dir={tmp_path / 'report'}",
    )  # fmt: skip
    report = json.loads((tmp_path / "report/report.json").read_text())
    require_valid(report)
    assert report["examples"] == len(split_of) == 48 and report["bootstrap"]["groups"] == 12
    seen = report["remarks"][0]  # At least themselves; some look like others.
    assert "match one in split train of covid19_radiography/224x224" in seen
    assert int(seen.split()[0]) >= sum(split == "train" for split in split_of.values())
    assert {name: list(parts) for name, parts in report["subgroups"].items()} == {
        "site": ["North", "South"], "sex": ["F", "M"], "view": ["PA"],
    }  # fmt: skip
    assert report["subgroups"]["site"]["North"]["groups"] == 12
    page = (tmp_path / "report/report.html").read_text()
    assert "accuracy minus that of all others" in page and "of 12 patients" in page
