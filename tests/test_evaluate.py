import csv
import json

import numpy as np
import PIL.Image
import pytest

from tests.conftest import run_command
from trainer.data.input import read_examples
from trainer.run import Run


@pytest.fixture(scope="module")
def directory(finished_run, tmp_path_factory):
    """The report of the finished run on the test split."""
    directory = tmp_path_factory.mktemp("evaluate") / "report"
    run_command(
        "trainer.evaluate", f"--workdir={finished_run}", "--split=test",
        f"--output_dir={directory}",
    )  # fmt: skip
    return directory


@pytest.fixture(scope="module")
def rows(directory):
    with (directory / "predictions.csv").open(newline="") as file:
        return list(csv.DictReader(file))


@pytest.fixture(scope="module")
def report(directory):
    return json.loads((directory / "report.json").read_text())


@pytest.fixture(scope="module")
def examples(dataset):
    """The test split as one batch."""
    size = dataset.num_examples("test")
    examples = read_examples(dataset, "test", cache="memory", shuffle_seed=None)
    return next(examples.one_pass(size).as_numpy_iterator())


def test_every_example_of_the_split_is_predicted_once(rows, dataset, examples):
    assert list(rows[0]) == ["id", "label", "predicted", *dataset.class_names]
    labels = {
        example_id.decode(): dataset.class_names[label]
        for example_id, label in zip(examples["id"], examples["label"], strict=True)
    }
    assert sorted(row["id"] for row in rows) == sorted(labels)
    assert all(row["label"] == labels[row["id"]] for row in rows)


def test_probabilities_are_those_of_the_saved_model(rows, dataset, examples, finished_run):
    probabilities = Run(finished_run).load_model()(examples["image"]).numpy()
    expected = dict(zip(examples["id"].astype(str), probabilities, strict=True))
    for row in rows:
        found = [float(row[name]) for name in dataset.class_names]
        np.testing.assert_allclose(found, expected[row["id"]], atol=1e-5)
        assert row["predicted"] == dataset.class_names[int(np.argmax(found))]


def test_the_report_says_what_predictions_csv_says(rows, report, dataset):
    assert report["examples"] == len(rows)
    hits = [row["label"] == row["predicted"] for row in rows]
    assert report["accuracy"] == pytest.approx(np.mean(hits))
    for index, name in enumerate(dataset.class_names):
        of_class = [row for row in rows if row["label"] == name]
        said = [row for row in rows if row["predicted"] == name]
        right = [row for row in of_class if row["predicted"] == name]
        numbers = report["per_class"][name]
        assert numbers["support"] == len(of_class)
        assert numbers["recall"] == (len(right) / len(of_class) if of_class else None)
        assert numbers["precision"] == (len(right) / len(said) if said else None)
        counts = [sum(r["predicted"] == other for r in of_class) for other in dataset.class_names]
        assert report["confusion_matrix"][index] == counts


def test_the_report_says_what_was_judged_on_what(report, finished_run, dataset):
    assert report["run"] == str(finished_run)
    assert (report["model"], report["split"]) == ("lenet", "test")
    assert report["dataset"] == dataset.name
    assert report["class_names"] == list(dataset.class_names)
    assert "not for diagnosis" in report["research_use"]


def test_the_confusion_matrix_is_a_picture(directory):
    with PIL.Image.open(directory / "confusion_matrix.png") as picture:
        assert picture.format == "PNG"
        assert len(picture.convert("RGB").getcolors(maxcolors=1 << 24)) > 10


def error_sentence(*flags):
    """What a refused command says after `error: `; nothing else may look like a failure."""
    said = run_command("trainer.evaluate", *flags, code=2)
    (sentence,) = [line for line in said.splitlines() if line.startswith("error: ")]
    assert said.rstrip().endswith(sentence)
    assert "Traceback" not in said
    return sentence


def test_a_directory_without_a_run_is_refused(tmp_path):
    sentence = error_sentence(f"--workdir={tmp_path}", f"--output_dir={tmp_path / 'report'}")
    assert f"{tmp_path} holds no config.json" in sentence
    assert not (tmp_path / "report").exists()


def test_a_split_that_the_dataset_has_not_is_refused(finished_run, tmp_path):
    sentence = error_sentence(
        f"--workdir={finished_run}", "--split=holdout", f"--output_dir={tmp_path / 'report'}"
    )
    assert "no split 'holdout'; it has test, train, validation" in sentence
