import collections
import csv
import errno
import html.parser
import json
import re
import shutil

import numpy as np
import PIL.Image
import pytest

from cxr_command import csv_file
from tests.support.browser import BROWSER, open_in_browser
from trainer.data.examples import Example
from trainer.errors import UserError
from trainer.explain.gallery import Gallery
from trainer.explain.heatmap import enlarge
from trainer.explain.heatmap_metrics import PER_IMAGE

CLASSES = ("COVID", "Lung_Opacity", "Normal", "Viral Pneumonia")
CHECK = {
    "rank_correlation": 0.1,
    "compared": 9,
    "no_heat": 0,
    "passes": True,
    "how_to_read": "Near 0 is good.",
}
ABOUT = {
    "run": "RUN",
    "model": "lenet",
    "source": "test",
    "note": "",
    "caution": "Compare it.",
    "left_out": 0,
}
SHARES = np.array([0.1, 0.2, 0.6, 0.1], np.float32)


def example(name, label=0, source="RSNA"):
    generator = np.random.default_rng(0)
    lungs = np.zeros((32, 32), bool)
    lungs[8:24, 4:28] = True
    image = generator.integers(0, 256, (32, 32, 1), dtype=np.uint8)
    return Example(name, source, label, image, lungs, lungs & (np.arange(32) > 16))


def write(directory):
    """A gallery of three examples; returns their raw heatmaps."""
    noise = np.random.default_rng(0).random((4, 4), np.float32)
    heatmaps = [noise, noise.T, np.zeros((4, 4), np.float32)]
    examples = [
        example("COVID-1"),
        example("<b>../COVID 1</b>.png", label=None, source=""),
        example("COVID-1", label=2),
    ]
    numbers = dict.fromkeys(PER_IMAGE)
    with Gallery(directory, CLASSES, "gradcam", "conv2") as gallery:
        for item, heatmap, lung_heat, target in zip(
            examples, heatmaps, (0.5, 0.7, None), (2, 3, 2), strict=True
        ):
            heat = enlarge(heatmap, (32, 32))
            told = numbers | {"lung_heat": lung_heat, "lung_area": 0.375}
            gallery.add(item, heatmap, heat, SHARES, target, told)
        gallery.finish(ABOUT, CHECK)
    return heatmaps


@pytest.fixture(scope="module")
def written(tmp_path_factory):
    """A gallery's directory, its raw heatmaps, and the rows of its index."""
    directory = tmp_path_factory.mktemp("gallery")
    heatmaps = write(directory)
    with (directory / "index.csv").open(newline="") as file:
        return directory, heatmaps, list(csv.DictReader(file))


def test_the_index_tells_what_was_explained(written):
    _, _, rows = written
    assert [row["id"] for row in rows] == ["COVID-1", "<b>../COVID 1</b>.png", "COVID-1"]
    assert [row["true"] for row in rows] == ["COVID", "", "Normal"]
    assert [row["target"] for row in rows] == ["Normal", "Viral Pneumonia", "Normal"]
    assert {row["predicted"] for row in rows} == {"Normal"}
    assert {(row["method"], row["layer"]) for row in rows} == {("gradcam", "conv2")}
    assert all(float(row["probability"]) == pytest.approx(0.6, abs=1e-6) for row in rows)
    assert [row["empty"] for row in rows] == ["False", "False", "True"]
    assert [row["lung_heat"] for row in rows] == ["0.5", "0.7", ""]


def test_each_image_has_a_panel_and_its_raw_heatmap_and_nothing_else_is_left(written):
    directory, heatmaps, rows = written
    for row, expected in zip(rows, heatmaps, strict=True):
        with PIL.Image.open(directory / row["panel"]) as panel:
            assert panel.format == "PNG"
            panel.load()
        heatmap = np.load(directory / row["heatmap"])
        assert heatmap.dtype == np.float32
        np.testing.assert_array_equal(heatmap, expected)
    files = {name for row in rows for name in (row["panel"], row["heatmap"])}
    assert len(files) == 6
    assert {path.name for path in directory.iterdir()} == files | {
        "index.csv", "index.html", "summary.json",
    }  # fmt: skip


def test_the_page_shows_every_panel_and_no_name_becomes_markup(written):
    directory, _, rows = written
    page = (directory / "index.html").read_text()
    for row in rows:
        assert f'src="{row["panel"]}"' in page
    assert "<b>" not in page
    assert "&lt;b&gt;../COVID 1" in page
    assert "not for diagnosis" in page
    assert "Compare it." in page


HOSTILE = ("=cmd|'/C calc'!A0", "$x^{$", "<img src=x onerror=a()>", '_a\n"b\x1b')


def test_names_of_all_kinds_are_shown_and_do_nothing(tmp_path):
    names = ["@SUM(A1)", "$a$b$.png", "<script>", "a\nb'\"&", "n" * 250, "\\xff"]
    heat = np.ones((32, 32), np.float32)
    with Gallery(tmp_path, HOSTILE, "gradcam", "conv2") as gallery:
        for number, name in enumerate(names):
            item = example(name, number % 4, name)
            told = dict.fromkeys(PER_IMAGE) | {"lung_heat": -0.5, "lung_area": 0.1}
            gallery.add(item, heat, heat, SHARES, number % 4, told)
        gallery.finish(ABOUT | {"run": "a\udcff", "note": "<script>alert(1)</script>"}, CHECK)
    header, *rows = csv_file.decode((tmp_path / "index.csv").read_bytes())
    rows = [dict(zip(header, row, strict=True)) for row in rows]
    assert [row["id"] for row in rows] == names
    assert [row["true"] for row in rows] == [HOSTILE[number % 4] for number in range(6)]
    with (tmp_path / "index.csv").open(newline="", encoding="utf-8") as file:
        for row in csv.DictReader(file):
            assert not row["id"].startswith("@") and not row["true"].startswith("=")
            assert float(row["lung_heat"]) == -0.5
    page = (tmp_path / "index.html").read_text(encoding="utf-8")
    elements = Elements()
    elements.feed(page)
    assert elements.found["script"] == 1 and elements.found["figure"] == 6
    assert {attributes["data-id"] for attributes in elements.figures} == set(names)
    for row in rows:
        with PIL.Image.open(tmp_path / row["panel"]) as panel:
            panel.load()


class Elements(html.parser.HTMLParser):
    """Counts the elements of a page; keeps the attributes of its figures."""

    def __init__(self):
        super().__init__()
        self.found, self.figures = collections.Counter(), []

    def handle_starttag(self, tag, attributes):
        self.found[tag] += 1
        if tag == "figure":
            self.figures.append(dict(attributes))


def test_the_summary_sums_up_what_has_a_number(written):
    summary = json.loads((written[0] / "summary.json").read_text())
    assert (summary["images"], summary["empty_heatmaps"]) == (3, 1)
    assert "not for diagnosis" in summary["research_use"]
    lungs = summary["checks"]["lung_heat"]
    assert (lungs["mean"], lungs["chance"]) == (pytest.approx(0.6), pytest.approx(0.375))
    assert (lungs["images"], lungs["better_than_chance"]) == (2, 1)
    assert lungs["how_to_read"]
    assert summary["checks"]["finding_heat"] is None


def test_a_second_export_replaces_the_first(tmp_path):
    write(tmp_path)
    before = sorted(path.name for path in tmp_path.iterdir())
    (tmp_path / "mine.txt").write_text("keep")
    with Gallery(tmp_path, CLASSES, "gradcam", "conv2") as gallery:
        told = dict.fromkeys(PER_IMAGE)
        heat = np.ones((32, 32), np.float32)
        gallery.add(example("COVID-9"), heat[:4, :4], heat, SHARES, 0, told)
        assert sorted(path.name for path in tmp_path.iterdir() if path.is_file()) == sorted(
            [*before, "mine.txt"]
        )
        gallery.finish(ABOUT, CHECK)
    assert {path.name for path in tmp_path.iterdir()} == {
        "00000-COVID-9.npy", "00000-COVID-9.png", "index.csv", "index.html", "summary.json",
        "mine.txt",
    }  # fmt: skip


def test_a_second_export_removes_nothing_that_is_no_image_of_the_first(tmp_path):
    write(tmp_path)
    (tmp_path / "thesis.pdf").write_text("keep")
    index = (tmp_path / "index.csv").read_text()
    (tmp_path / "index.csv").write_text(index.replace("00000-COVID-1.png", "thesis.pdf"))
    write(tmp_path)
    assert (tmp_path / "thesis.pdf").read_text() == "keep"


def test_what_is_in_the_way_is_named_before_anything_is_replaced(tmp_path):
    write(tmp_path)
    (tmp_path / "summary.json").unlink()
    (tmp_path / "summary.json").mkdir()
    before = {path.name: path.stat().st_mtime_ns for path in tmp_path.iterdir()}
    with pytest.raises(UserError, match="summary.json is in the way"):
        write(tmp_path)
    assert {path.name: path.stat().st_mtime_ns for path in tmp_path.iterdir()} == before


def test_what_was_not_finished_leaves_nothing(tmp_path):
    heat = np.ones((32, 32), np.float32)
    with pytest.raises(KeyboardInterrupt), Gallery(tmp_path, CLASSES, "gradcam", "x") as gallery:
        gallery.add(example("A"), heat[:4, :4], heat, SHARES, 0, dict.fromkeys(PER_IMAGE))
        raise KeyboardInterrupt
    assert list(tmp_path.iterdir()) == []


def test_an_index_of_something_else_is_not_replaced(tmp_path):
    (tmp_path / "index.csv").write_text("name,size\nthesis,1\n")
    with pytest.raises(UserError, match="index.csv is not the index of an earlier export"):
        Gallery(tmp_path, CLASSES, "gradcam", "conv2")
    assert [path.name for path in tmp_path.iterdir()] == ["index.csv"]


@pytest.mark.parametrize("text", ["panel,heatmap\n,\n", "id,heatmap,panel\nx\n"])
def test_an_index_that_lost_its_files_is_replaced(text, tmp_path):
    (tmp_path / "index.csv").write_text(text)
    write(tmp_path)
    assert (tmp_path / "index.csv").read_text() != text


def test_a_full_disk_is_told_and_leaves_nothing(tmp_path, monkeypatch):
    def fails(*_, **__):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(np, "save", fails)
    with pytest.raises(UserError, match="written .No space left on device.; make room"):
        write(tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_a_heatmap_is_enlarged_bilinearly_and_scaled_to_its_highest_value():
    heatmap = np.random.default_rng(0).random((3, 5), np.float32)
    large = enlarge(heatmap, (24, 60))
    expected = np.asarray(PIL.Image.fromarray(heatmap).resize((60, 24), PIL.Image.BILINEAR))
    np.testing.assert_allclose(large, expected / expected.max(), atol=1e-5)
    assert large.max() == 1


def test_an_empty_heatmap_stays_empty():
    large = enlarge(np.zeros((3, 5), np.float32), (24, 60))
    np.testing.assert_array_equal(large, np.zeros((24, 60)))


# Chooses as a reader would, and tells what is shown in which order.
CHOOSE = """<script>
const chosen = {choices};
for (const [name, value] of Object.entries(chosen)) form.elements[name].value = value;
form.elements.descending.checked = {descending};
form.dispatchEvent(new Event("input"));
document.title = "SHOWN " + [...document.querySelectorAll("figure")]
  .filter(figure => !figure.hidden).map(figure => figure.dataset.order).join(" ") + " END";
</script></body>"""


@pytest.mark.slow
@pytest.mark.skipif(BROWSER is None, reason="no Chromium on this machine")
@pytest.mark.parametrize(
    ("choices", "descending", "shown"),
    [
        ({}, "false", "1 2 3"),
        ({"sort": "lung_heat"}, "true", "2 1 3"),  # The third has no such number.
        ({"true": "COVID"}, "false", "1"),
        ({"answer": "correct"}, "false", "3"),
        ({"id": "covid-1"}, "false", "1 3"),
        ({"target": "Normal", "sort": "id"}, "true", "1 3"),
    ],
)
def test_in_a_browser_the_gallery_is_sorted_and_filtered(
    choices, descending, shown, written, tmp_path
):
    shutil.copytree(written[0], tmp_path / "gallery")
    page = (tmp_path / "gallery" / "index.html").read_text()
    script = CHOOSE.format(choices=json.dumps(choices), descending=descending)
    probe = tmp_path / "gallery" / "probe.html"
    probe.write_text(page.replace("</body>", script))
    dom, console = open_in_browser(probe, tmp_path / "profile")
    assert re.search("SHOWN (.*) END", dom).group(1) == shown
    assert console == []
