import csv
import json

import numpy as np
import PIL.Image
import pytest

from trainer.evaluation.predictions import Predictions
from trainer.evaluation.report import write_report
from trainer.evaluation.statistics import classification_statistics

CLASSES = ("COVID", "Normal")


@pytest.fixture
def written(tmp_path):
    """A report of a model that never says Normal, and what it was written from."""
    predictions = Predictions(
        ids=np.array(["COVID-1", "Normal, 2", "COVID-3"]),
        labels=np.array([0, 1, 0]),
        probabilities=np.array([[0.9, 0.1], [0.7, 0.3], [1 / 3 + 0.4, 0.8 / 3]], np.float32),
    )
    write_report(
        tmp_path,
        predictions=predictions,
        statistics=classification_statistics(
            predictions.labels, predictions.probabilities, CLASSES
        ),
        about={"model": "lenet", "split": "test"},
        class_names=CLASSES,
    )
    return tmp_path, predictions


def test_predictions_are_written_in_order_and_in_full_precision(written):
    directory, predictions = written
    with (directory / "predictions.csv").open(newline="") as file:
        header, *rows = csv.reader(file)
    assert header == ["id", "label", "predicted", "COVID", "Normal"]
    assert [row[0] for row in rows] == ["COVID-1", "Normal, 2", "COVID-3"]
    assert [row[1] for row in rows] == ["COVID", "Normal", "COVID"]
    assert [row[2] for row in rows] == ["COVID"] * 3
    found = np.array([row[3:] for row in rows]).astype(np.float32)
    np.testing.assert_array_equal(found, predictions.probabilities)


def test_a_ratio_that_does_not_exist_is_null(written):
    directory, _ = written

    def refuse(constant):
        raise AssertionError(f"{constant} is no JSON")

    report = json.loads((directory / "report.json").read_text(), parse_constant=refuse)
    assert report["per_class"]["Normal"]["precision"] is None
    assert report["accuracy"] == pytest.approx(2 / 3)
    assert (report["model"], report["split"]) == ("lenet", "test")


def test_the_confusion_matrix_is_drawn_of_classes_without_examples_too(written):
    with PIL.Image.open(written[0] / "confusion_matrix.png") as picture:
        picture.load()
        assert picture.format == "PNG"
