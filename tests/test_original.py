import pytest

from trainer.evaluation.json_content import json_content
from trainer.evaluation.original import beside_original


def test_published_figures_stand_beside_measured_ones_of_the_same_network():
    measured = [("lenet", "a", 0.8), ("lenet", "b", 0.7)]
    beside = json_content(beside_original("covid19_radiography/224x224:1.0.0", measured))
    assert "another split" in beside["where"]
    rows = {row["model"]: row for row in beside["models"]}
    assert rows["lenet"]["measured"] == {"a": 0.8, "b": 0.7}
    assert rows["vgg19"]["measured"] == {}
    published = {name: row["published"] for name, row in rows.items()}
    assert published == {
        "lenet": 0.7837, "resnet101": 0.9258, "vgg19": 0.9140, "densenet169": 0.8559,
    }  # fmt: skip


def test_the_published_classes_add_up_to_the_published_accuracy():
    """Recalls weighted by the published test split: a slip of a digit would show."""
    beside = json_content(beside_original("covid19_radiography", []))
    (resnet,) = [row for row in beside["models"] if row["model"] == "resnet101"]
    counts = {"COVID": 362, "Lung_Opacity": 602, "Normal": 1019, "Viral Pneumonia": 134}
    right = sum(resnet["per_class"][name]["recall"] * count for name, count in counts.items())
    assert right / 2117 == pytest.approx(resnet["published"], abs=0.006)
    for numbers in resnet["per_class"].values():
        precision, recall = numbers["precision"], numbers["recall"]
        assert numbers["f1"] == pytest.approx(
            2 * precision * recall / (precision + recall), abs=0.011
        )


def test_another_dataset_has_no_original():
    assert beside_original("other_database/224x224:1.0.0", []) is None
