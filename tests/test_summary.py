import numpy as np
import pytest

from tests.support.reports import make_examples, sources_of, write
from tests.support.simulated import CLASSES, one_hot, simulate
from trainer.evaluation.summary import summarize


def shown(numbers, name):
    low, high = numbers["intervals"][name]
    return f"{numbers[name]:.3f} ({low:.3f} to\N{NO-BREAK SPACE}{high:.3f})"


@pytest.fixture(scope="module")
def written(tmp_path_factory):
    directory = tmp_path_factory.mktemp("summary")
    labels, shares = simulate((30, 45, 60, 15))
    sources = sources_of(labels)
    examples = make_examples(
        labels, sources=sources, groups=np.arange(150) // 2, masked=np.arange(40),
        masks=np.ones((40, 8, 6, 1), bool), attributes={"sex": np.array(["F", "M", "M"] * 50)},
    )  # fmt: skip
    report = write(directory, examples, train=(labels, sources), run=shares)
    report["bootstrap"]["groups"] = 75
    return directory, report


def test_the_summary_says_the_reports_numbers_in_at_most_ten_lines(written):
    _, report = written
    lines = summarize(report)
    assert len(lines) <= 9  # What it must not be used for stands above them.
    text = "\n".join(line for _, line in lines)
    lowest_class = min(CLASSES, key=lambda name: report["per_class"][name]["sensitivity"])
    parts = {"source bimcv": report["by_source"]["bimcv"], "sex F": report["subgroups"]["sex"]["F"]}
    parts |= {"source rsna": report["by_source"]["rsna"], "sex M": report["subgroups"]["sex"]["M"]}
    lowest_part = min(parts, key=lambda name: parts[name]["accuracy"])
    for value in (
        "150 radiographs in 75 groups",
        "covid19_radiography/224x224:1.0.0",
        "COVID 30",
        shown(report, "accuracy"),
        f"{report['operating_point']['threshold']:.3f}",
        shown(report["operating_point"], "sensitivity"),
        shown(report["operating_point"], "specificity"),
        f"{report['calibration']['before']['ece']:.3f}",
        f"{lowest_class}, {shown(report['per_class'][lowest_class], 'sensitivity')}",
        f"{lowest_part}, {shown(parts[lowest_part], 'accuracy')}",
        f"{report['source_alone']['accuracy']:.3f}",
        shown(report["shortcut_controls"]["lungs_blanked"], "accuracy"),
    ):
        assert value in text


def test_the_page_begins_with_the_summary_and_the_remarks(written):
    directory, _ = written
    page = (directory / "report.html").read_text()
    top = page[: page.index("<nav")]
    assert "not a medical device" in top and '<h2 id="summary">' in top
    assert "Lowest sensitivity" in top


def test_what_a_report_does_not_know_has_no_line(tmp_path):
    labels = np.array([0, 0, 1, 2])
    report = write(
        tmp_path, make_examples(labels), validation=False, run=one_hot([0, 0, 1, 1]) * 0.7 + 0.075
    )
    report |= {"dataset": None, "split": None, "images_dir": "/pictures"}
    subjects = [subject for subject, _ in summarize(report)]
    assert not any("shortcut" in one or "lungs" in one or "Detecting" in one for one in subjects)
    evaluated = summarize(report)[0][1]
    assert "/pictures" in evaluated and "patients are not known" in evaluated


def test_of_several_models_all_accuracies_are_told(tmp_path):
    labels, shares = simulate((6, 9, 12, 3))
    _, other = simulate((6, 9, 12, 3), skill=0.2)
    report = write(tmp_path, make_examples(labels), first=shares, second=other)
    (line,) = (line for subject, line in summarize(report) if "Accuracy, with" in subject)
    for name, model in report["models"].items():
        assert f"{name}: Accuracy {shown(model, 'accuracy')}" in line
