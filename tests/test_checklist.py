import re

import numpy as np
import pytest

from tests.support.reports import RUN_CONFIG, make_examples, sources_of, write
from tests.support.simulated import CLASSES, simulate
from trainer.evaluation.page import render_checklist

TRIPOD_AI = (
    "1 2 3a 3b 3c 4 5a 5b 6a 6b 6c 7 8a 8b 8c 9a 9b 9c 10 11 12a 12b 12c 12d 12e 12f 12g 13 14 15 "
    "16 17 18a 18b 18c 18d 18e 18f 19 20a 20b 20c 21 22 23a 23b 24 25 26 27a 27b 27c"
).split()
CLAIM = [str(number) for number in range(1, 45)]
AUTHORS = "To be completed by the authors"
SETTINGS = {
    "dataset": "covid19_radiography/224x224:1.0.0", "weights": "imagenet", "seed": 17,
    "optimizer": "adamw", "learning_rate": 0.0123, "class_weights": "balanced", "rotation": 7.5,
}  # fmt: skip
VERSIONS = {"tensorflow": "9.8.7"}


def rows(text):
    """Statement and number to the answer, and all numbers in their order."""
    answers, numbers = {}, {"TRIPOD+AI": [], "CLAIM 2024": []}
    for line in text.splitlines():
        if line.startswith("## "):
            statement = line[3:]
        elif match := re.fullmatch(r"\| (\d+[a-g]?) \| ([^|]+) \| ([^|]+) \|", line):
            numbers[statement].append(match[1])
            answers[statement, match[1]] = match[3].replace("\\", "")
    return answers, numbers


@pytest.fixture(scope="module")
def report(tmp_path_factory):
    directory = tmp_path_factory.mktemp("checklist")
    labels, shares = simulate((6, 9, 12, 3), skill=0.5)
    sources = sources_of(labels)
    examples = make_examples(
        labels, sources=sources, groups=np.arange(30) // 2, masked=np.arange(5),
        masks=np.ones((5, 8, 6, 1), bool), attributes={"sex": np.array(["F", "M"] * 15)},
    )  # fmt: skip
    written = write(directory, examples, train=(labels, sources), run=shares)
    written["bootstrap"]["groups"] = len(set(examples.groups))
    model = written["models"]["run"]
    model["run_config"] = RUN_CONFIG | {"config": SETTINGS, "versions": VERSIONS}
    return directory, written


@pytest.fixture(scope="module")
def answers(report):
    return rows(render_checklist(report[1]))[0]


def test_every_item_of_both_statements_stands_once_and_is_answered(report):
    directory, written = report
    for text in (render_checklist(written), (directory / "report_checklist.md").read_text()):
        answers, numbers = rows(text)
        assert numbers == {"TRIPOD+AI": TRIPOD_AI, "CLAIM 2024": CLAIM}
        assert all(answer.strip(" .") and "None" not in answer for answer in answers.values())


def shown(numbers, name):
    low, high = numbers["intervals"][name]
    return f"{numbers[name]:.3f} ({low:.3f} to\N{NO-BREAK SPACE}{high:.3f})"


def test_answers_name_the_reports_numbers(answers, report):
    written = report[1]
    expected = {
        ("TRIPOD+AI", "10"): ["3 training radiographs", "2 to select", "COVID 6", "Normal 12"],
        ("TRIPOD+AI", "12a"): ["15 groups", "30 radiographs"],
        ("TRIPOD+AI", "12c"): ["imagenet", "seed 17", "adamw", "0.0123", "7.5", "1,234 parameters"],
        ("TRIPOD+AI", "13"): ["balanced"],
        ("TRIPOD+AI", "15"): [f"{written['operating_point']['threshold']:.3f}"],
        ("TRIPOD+AI", "20b"): ["F 15, M 15", "bimcv 6", "rsna 24", "children"],
        ("TRIPOD+AI", "23a"): [
            shown(written, "accuracy"),
            shown(written, "balanced_accuracy"),
            *(shown(written["per_class"][name], "sensitivity") for name in CLASSES),
            f"{written['calibration']['before']['ece']:.3f}",
            shown(written["subgroups"]["sex"]["F"], "accuracy"),
        ],
        ("TRIPOD+AI", "23b"): [
            shown(written["by_source"][name], "accuracy") for name in ("bimcv", "rsna")
        ],
        ("TRIPOD+AI", "24"): [f"{written['tuning']['temperature']:.3f}"],
        ("CLAIM 2024", "10"): [written["split_digest"]],
        ("CLAIM 2024", "20"): ["15 groups"],
        ("CLAIM 2024", "23"): ["tensorflow 9.8.7", "python 3"],
        ("CLAIM 2024", "24"): ["imagenet", "seed 17"],
        ("CLAIM 2024", "29"): ["100 resamples", "seed 0"],
        ("CLAIM 2024", "30"): [
            shown(written["shortcut_controls"]["lungs_blanked"], "accuracy"),
            f"{written['source_alone']['accuracy']:.3f}",
        ],
        ("CLAIM 2024", "38"): [
            shown(written["per_class"]["COVID"], "auroc"),
            shown(written["operating_point"], "specificity"),
        ],
        ("CLAIM 2024", "39"): ["mistakes/", f"{len(written['mistakes'])} most confident"],
        ("CLAIM 2024", "43"): ["0" * 64],
    }
    missing = {
        item: value for item, values in expected.items() for value in values
        if value not in answers[item]
    }  # fmt: skip
    assert missing == {}


def test_what_only_authors_know_is_left_to_them(answers):
    of_authors = ["3a", "5b", "6b", "8c", "17", "18a", "18b", "18c", "18d", "19", "27c"]
    assert {answers["TRIPOD+AI", number] for number in of_authors} == {f"{AUTHORS}."}
    assert {answers["CLAIM 2024", str(number)] for number in (4, 5, 11, 15, 18, 34, 44)} == {
        f"{AUTHORS}."
    }


def test_nothing_is_invented_for_a_folder_of_own_images(tmp_path):
    labels, shares = simulate((6, 9, 12, 3))
    written = write(tmp_path, make_examples(labels), validation=False, run=shares)
    unknown = {"dataset": None, "dataset_version": None, "split": None}
    seen = "24 of 30 radiographs match one in split train of DATASET."
    own = written | unknown | {"images_dir": "/pictures", "left_out": ["a.txt", "b.png"]}
    own["remarks"] = [seen]
    answers, numbers = rows(render_checklist(own))
    assert numbers == {"TRIPOD+AI": TRIPOD_AI, "CLAIM 2024": CLAIM}
    assert all("covid19" not in answer and "None" not in answer for answer in answers.values())
    external = answers["CLAIM 2024", "33"]
    assert "/pictures" in external and f"{AUTHORS}: whether it is" in external
    assert all(seen in answers["CLAIM 2024", number] for number in ("20", "33", "40"))
    assert answers["CLAIM 2024", "32"] == "Not in this report."
    assert "2 files excluded (a.txt, b.png)" in answers["TRIPOD+AI", "11"]
    for item in ("6a", "12d", "14", "23b"):
        assert answers["TRIPOD+AI", item].startswith(AUTHORS)
    for item in ("24", "30"):
        assert answers["CLAIM 2024", item].startswith(AUTHORS)
    assert "patient" in answers["CLAIM 2024", "20"]


@pytest.mark.parametrize(
    ("setting", "said"),
    [
        ({"fold": "1/3"}, "fold 1/3 held out, the next fold used for validation."),
        (
            {"source_share": "Normal:kermany=0.5"},
            "split train, resampled with --source_share=Normal:kermany=0.5.",
        ),
    ],
)
def test_what_a_model_was_trained_on_is_told_as_it_was(setting, said, report):
    model = report[1]["models"]["run"]
    config = model["run_config"] | {"config": SETTINGS | setting}
    written = report[1] | {"models": {"run": model | {"run_config": config}}}
    assert said in rows(render_checklist(written))[0]["TRIPOD+AI", "5a"]


def test_of_several_models_each_one_is_told(report, tmp_path):
    labels, shares = simulate((6, 9, 12, 3), skill=0.5)
    _, other = simulate((6, 9, 12, 3), skill=0.2)
    written = write(tmp_path, make_examples(labels), first=shares, second=other)
    answer = rows(render_checklist(written))[0]["CLAIM 2024", "37"]
    for name, model in written["models"].items():
        assert f"{name}: Accuracy {shown(model, 'accuracy')}" in answer
    answers = rows(render_checklist(written))[0]
    assert answers["CLAIM 2024", "27"] == "A single model."  # Alike for all: told once.
    methods = {test["method"] for test in written["comparison"]["pairs"][0]["tests"]}
    assert methods == {"DeLong", "paired bootstrap"}
    assert all(method in answers["TRIPOD+AI", "12e"] for method in methods)
