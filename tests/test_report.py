import csv
import re

import numpy as np
import PIL.Image
import pytest

from cxr_command import csv_file
from tests.support.reports import make_examples, sources_of, write
from tests.support.simulated import CLASSES, one_hot, simulate
from trainer.evaluation.page import render_model_card


def unexplained(numbers, path=""):
    """The numbers and sections that are null although nothing beside them says why."""
    if isinstance(numbers, list):
        for index, item in enumerate(numbers):
            yield from unexplained(item, f"{path}[{index}]")
    elif isinstance(numbers, dict):
        why = numbers.get("why", {})
        for name, value in numbers.items():
            if name == "intervals":
                missing = [key for key, interval in value.items() if interval is None]
                yield from (f"{path}.intervals.{key}" for key in missing if key not in why)
            elif value is None and name not in why:
                yield f"{path}.{name}"
            else:
                yield from unexplained(value, f"{path}.{name}")


# Null where there is nothing to explain: an empty bin, what only an ensemble or a folder has.
MAY_BE_NULL = re.compile(
    r"\.(members|study|images_dir|manifest|groups|comparison|comparison_picture|source|confidence"
    r"|accuracy|thresholds\.[\w ]+|conformal\.quantile(s\.[\w ]+)?)$"
)


@pytest.fixture(scope="module")
def written(tmp_path_factory):
    """The report of two models of which everything is known."""
    directory = tmp_path_factory.mktemp("report")
    labels, shares = simulate((6, 9, 12, 3))
    sources = sources_of(labels)
    examples = make_examples(
        labels, sources=sources, groups=np.arange(30) // 2, masked=np.arange(5),
        masks=np.ones((5, 8, 6, 1), bool),
    )  # fmt: skip
    _, other = simulate((6, 9, 12, 3), seed=0, skill=0.2)
    report = write(directory, examples, train=(labels, sources), first=shares, second=other)
    return directory, report, examples, {"first": shares, "second": other}


def test_every_model_has_its_files(written):
    directory, report, examples, shares = written
    for name, folder in (("first", directory), ("second", directory / "second")):
        with (folder / "predictions.csv").open(newline="") as file:
            rows = list(csv.DictReader(file))
        assert [row["id"] for row in rows] == examples.ids.tolist()
        found = np.array([[float(row[name]) for name in CLASSES] for row in rows])
        np.testing.assert_array_equal(found, shares[name])
        assert (folder / "model_card.md").exists()
        for picture in (
            "confusion_matrix", "confusion_matrix_normalised", "roc", "precision_recall",
            "reliability", "reliability_by_class", "decision_curve", "selective",
        ):  # fmt: skip
            with PIL.Image.open(folder / f"{picture}.png") as image:
                assert len(image.convert("RGB").getcolors(maxcolors=1 << 24)) > 10
    assert report["models"]["second"]["predictions"] == "second/predictions.csv"
    assert not list(directory.glob(".partial*"))


def test_the_first_model_stands_at_the_top(written):
    _, report, *_ = written
    assert list(report["models"]) == ["first", "second"]
    for name in ("accuracy", "per_class", "confusion_matrix", "run", "model"):
        assert report[name] == report["models"]["first"][name]


def test_nothing_is_null_without_a_reason(written):
    _, report, *_ = written
    assert [path for path in unexplained(report) if not MAY_BE_NULL.search(path)] == []


def test_the_surest_mistakes_are_shown_with_their_radiographs(written):
    directory, report, examples, shares = written
    said, sure = shares["second"].argmax(axis=1), shares["second"].max(axis=1)
    wrong = sorted(np.flatnonzero(said != examples.labels), key=lambda row: -sure[row])[:10]
    mistakes = report["models"]["second"]["mistakes"]
    assert [mistake["id"] for mistake in mistakes] == [f"case-{row}" for row in wrong]
    for mistake, row in zip(mistakes, wrong, strict=True):
        with PIL.Image.open(directory / mistake["picture"]) as image:
            np.testing.assert_array_equal(np.asarray(image), examples.images[row, :, :, 0])
        assert mistake["predicted"] == CLASSES[said[row]]
        assert mistake["probability"] == sure[row]


def test_the_page_is_one_file_that_needs_no_other(written):
    directory, report, *_ = written
    page = (directory / "report.html").read_text()
    links = re.findall(r'(?:src|href)="([^"]*)"', page)
    assert all(link.startswith(("data:", "#")) for link in links)
    pictures = len([link for link in links if link.startswith("data:image/png")])
    mistakes = sum(len(model["mistakes"]) for model in report["models"].values())
    assert pictures == 2 * 8 + 1 + mistakes
    assert "not a medical device" in page
    assert "<script" not in page and "&lt;script&gt;alert(1)" in page
    assert f"{report['accuracy']:.3f}" in page


def test_the_contents_lead_to_every_section_of_every_model(written):
    directory, report, *_ = written
    page = (directory / "report.html").read_text()
    links = re.findall(r'<a href="#([^"]*)">([^<]*)</a>', page)
    anchors = re.findall(r'<h[23] id="((?!summary)[^"]*)">', page)
    assert [anchor for anchor, _ in links] == anchors and len(set(anchors)) == len(anchors)
    assert not re.search("<h[23]>", page)
    titles = [title for _, title in links]
    assert "Model comparison" in titles
    assert titles.count("Shortcut controls") == len(report["models"])
    # No example has a site, sex, age, view or device.
    assert "Subgroups" not in titles


def test_the_model_card_says_what_the_report_says(written):
    directory, report, *_ = written
    card = (directory / "second" / "model_card.md").read_text()
    second = report["models"]["second"]
    low, high = second["intervals"]["accuracy"]
    shown = f"{low:.3f} to\N{NO-BREAK SPACE}{high:.3f}"
    assert f"| Accuracy | {second['accuracy']:.3f} | {shown} |" in card
    assert "A research tool, not a medical device" in card
    assert "bimcv (COVID), rsna" in card and "intervals cover only the sampling of these" in card


def test_the_model_card_has_subgroups_the_study_and_whose_radiographs_it_knows(tmp_path):
    labels, shares = simulate((6, 9, 12, 3))
    examples = make_examples(labels, attributes={"sex": np.array(["F", "M"] * 15)})
    report = write(tmp_path, examples, model=shares)
    part = report["subgroups"]["sex"]["F"]
    card = (tmp_path / "model_card.md").read_text()
    assert f"| F | 15 | {part['accuracy']:.3f} (" in card
    assert f"| {part['difference']:.3f} (" in card
    assert "not known here" in card
    model = report["models"]["model"]
    model["run_config"]["config"]["dataset"] = "covid19_radiography/224x224:1.0.0"
    model["study"] = "One of 30 runs of a study."
    card = render_model_card(report, "model")
    assert "children of Guangzhou" in card and "\nOne of 30 runs of a study.\n" in card


def test_a_page_on_2000_radiographs_can_be_mailed(tmp_path):
    """In the worst case: ten mistakes, of radiographs that are noise; three models in 5 MB."""
    labels, shares = simulate((342, 568, 963, 127))
    sources = sources_of(labels)
    examples = make_examples(labels, sources=sources, image_shape=(224, 224, 1))
    write(tmp_path, examples, train=(labels, sources), model=shares)
    assert (tmp_path / "report.html").stat().st_size < 5_000_000 / 3


def test_what_was_not_told_is_said_to_be_missing(tmp_path):
    """Another dataset, or a folder: no sources, groups or masks, and no validation split."""
    labels, shares = simulate((6, 9, 12, 3))
    report = write(tmp_path, make_examples(labels), validation=False, model=shares)
    for section in (
        "by_source", "pairs_within_sources", "source_alone", "shortcut_controls",
        "operating_point", "operating_points", "tuning",
    ):  # fmt: skip
        assert report[section] is None and report["why"][section]
    assert report["calibration"]["after"] is None and report["why"]["calibration.after"]
    page = (tmp_path / "report.html").read_text()
    assert "training images is not known" in page and "no validation here" in page


def test_a_second_report_replaces_the_first(tmp_path):
    labels, shares = simulate((6, 9, 12, 3), skill=0)
    examples = make_examples(labels)
    write(tmp_path, examples, model=shares)
    assert len(list((tmp_path / "mistakes").iterdir())) == 10
    write(tmp_path, examples, model=one_hot(labels))
    assert list((tmp_path / "mistakes").iterdir()) == []


HOSTILE = ("=cmd|'/C calc'!A0", "$x^{$", "<img src=x onerror=a()>", "_a\n# b|\x1b")


def test_names_of_all_kinds_are_shown_and_do_nothing(tmp_path):
    labels, shares = simulate((6, 9, 12, 3), skill=0.2)
    ids = [f"-{row}*</script>\n" for row in range(30)]
    examples = make_examples(labels, class_names=HOSTILE, ids=np.array(ids))
    models = {"a": shares, "$m$<b>": shares, "a b": shares, "a_b": shares, "..": shares}
    report = write(tmp_path, examples, class_names=HOSTILE, note="# <b>*x*\n\n# y", **models)
    folders = [model["folder"] for model in report["models"].values()]
    assert len({name.lower() for name in folders}) == len(models)
    for folder in folders:
        place = (tmp_path / folder).resolve()
        assert place == tmp_path or place.parent == tmp_path
        header, *rows = csv_file.decode((place / "predictions.csv").read_bytes())
        assert header == ["id", "label", "predicted", *HOSTILE]
        assert [row[0] for row in rows] == ids
        assert (place / "model_card.md").read_text().count("\n# ") == 0
    text = (tmp_path / "predictions.csv").read_text()
    assert not re.search(r"(^|,)\"?[=@-]\D", text, re.MULTILINE)
    page = (tmp_path / "report.html").read_text()
    assert not re.search("<(script|b|img src=x)[ >]", page)
    card = (tmp_path / "model_card.md").read_text()
    assert "<" not in card.replace("\\<", "")


def test_the_picture_of_a_mistake_is_its_own_though_ids_repeat(tmp_path):
    labels, shares = simulate((6, 9, 12, 3), skill=0)
    examples = make_examples(labels, ids=np.array(["same"] * 30))
    report = write(tmp_path, examples, model=shares)
    assert len(report["mistakes"]) == 10
    for mistake in report["mistakes"]:
        assert labels[mistake["row"]] == CLASSES.index(mistake["label"])
        with PIL.Image.open(tmp_path / mistake["picture"]) as image:
            np.testing.assert_array_equal(
                np.asarray(image), examples.images[mistake["row"], :, :, 0]
            )


def test_a_second_report_removes_no_file_of_somebody_else(tmp_path):
    labels, shares = simulate((6, 9, 12, 3), skill=0)
    (tmp_path / "mistakes").mkdir()
    (tmp_path / "mistakes" / "list.txt").write_text("mine")
    write(tmp_path, make_examples(labels), model=shares)
    assert (tmp_path / "mistakes" / "list.txt").read_text() == "mine"


EDGES = {
    "one class only is predicted": ([0, 1, 1, 2, 3, 3], one_hot([2] * 6)),
    "a class is absent": ([0, 0, 1, 1, 2], one_hot([0, 1, 1, 3, 2]) * 0.7 + 0.075),
    "three examples": ([0, 1, 2], one_hot([0, 2, 2]) * 0.6 + 0.1),
    "one example of the positive class alone": ([0], one_hot([0])),
    "no example of the positive class": ([1, 2, 2], one_hot([1, 2, 1])),
    "certain and all right": ([0, 1, 2, 3], one_hot([0, 1, 2, 3])),
    "certain and all wrong": ([0, 1, 2, 3], one_hot([1, 2, 3, 0])),
}


@pytest.mark.parametrize("edge", EDGES)
@pytest.mark.filterwarnings("error::UserWarning", "error::RuntimeWarning")
def test_what_cannot_be_computed_is_explained(edge, tmp_path):
    labels, shares = EDGES[edge]
    sources = sources_of(labels)
    examples = make_examples(labels, sources=sources)
    report = write(tmp_path, examples, train=(examples.labels, sources), model=shares)
    assert [path for path in unexplained(report) if not MAY_BE_NULL.search(path)] == []
    assert "nan" not in re.sub(r'"data:[^"]*"', "", (tmp_path / "report.html").read_text()).lower()
    assert report["accuracy"] == np.mean(shares.argmax(axis=1) == labels)
