import csv
import json

import numpy as np
import PIL.Image
import pytest

from trainer.explain.gallery import Explanation, Gallery, resize_heatmap

CLASSES = ("COVID", "Lung_Opacity", "Normal", "Viral Pneumonia")


def explanation(name, *, label="COVID", heatmap=None, target=2):
    generator = np.random.default_rng(0)
    return Explanation(
        id=name,
        label=label,
        image=generator.integers(0, 256, (32, 32, 1), dtype=np.uint8),
        heatmap=generator.random((4, 4), np.float32) if heatmap is None else heatmap,
        probabilities=np.array([0.1, 0.2, 0.6, 0.1], np.float32),
        target=target,
    )


@pytest.fixture(scope="module")
def written(tmp_path_factory):
    """A gallery of three explanations: its directory, they, and the rows of its index."""
    directory = tmp_path_factory.mktemp("gallery")
    explanations = [
        explanation("COVID-1"),
        explanation("<b>../COVID 1</b>.png", label=None, target=3),
        explanation("COVID-1", label="Normal", heatmap=np.zeros((4, 4), np.float32)),
    ]
    gallery = Gallery(directory, CLASSES, {"run": "RUN", "layer": "conv2"})
    for item in explanations:
        gallery.add(item)
    gallery.close()
    with (directory / "index.csv").open(newline="") as file:
        return directory, explanations, list(csv.DictReader(file))


def test_the_index_tells_what_was_explained(written):
    _, _, rows = written
    assert [row["id"] for row in rows] == ["COVID-1", "<b>../COVID 1</b>.png", "COVID-1"]
    assert [row["label"] for row in rows] == ["COVID", "", "Normal"]
    assert [row["target"] for row in rows] == ["Normal", "Viral Pneumonia", "Normal"]
    assert {row["predicted"] for row in rows} == {"Normal"}
    assert all(float(row["probability"]) == pytest.approx(0.6, abs=1e-6) for row in rows)
    assert [row["empty"] for row in rows] == ["False", "False", "True"]


def test_each_image_has_a_panel_and_its_raw_heatmap_of_its_own_in_the_directory(written):
    directory, explanations, rows = written
    assert len({row["panel"] for row in rows} | {row["heatmap"] for row in rows}) == 6
    for row, item in zip(rows, explanations, strict=True):
        with PIL.Image.open(directory / row["panel"]) as panel:
            assert panel.format == "PNG"
            panel.load()
        heatmap = np.load(directory / row["heatmap"])
        assert heatmap.dtype == np.float32
        np.testing.assert_array_equal(heatmap, item.heatmap)
    assert {path.name for path in directory.iterdir()} == {
        *(row["panel"] for row in rows),
        *(row["heatmap"] for row in rows),
        *("index.csv", "index.html", "summary.json"),
    }


def test_the_page_shows_every_panel_and_no_name_becomes_markup(written):
    directory, _, rows = written
    page = (directory / "index.html").read_text()
    for row in rows:
        assert f'src="{row["panel"]}"' in page
    assert "<b>" not in page
    assert "&lt;b&gt;../COVID 1" in page


def test_the_summary_counts_images_and_empty_heatmaps(written):
    directory, _, _ = written
    summary = json.loads((directory / "summary.json").read_text())
    assert (summary["images"], summary["empty_heatmaps"]) == (3, 1)
    assert (summary["run"], summary["layer"]) == ("RUN", "conv2")
    assert "not for diagnosis" in summary["research_use"]


def test_a_heatmap_is_enlarged_bilinearly_and_scaled_to_its_highest_value():
    heatmap = np.random.default_rng(0).random((3, 5), np.float32)
    large = resize_heatmap(heatmap, (24, 60))
    expected = np.asarray(PIL.Image.fromarray(heatmap).resize((60, 24), PIL.Image.BILINEAR))
    np.testing.assert_allclose(large, expected / expected.max(), atol=1e-5)
    assert large.max() == 1


def test_an_empty_heatmap_stays_empty():
    large = resize_heatmap(np.zeros((3, 5), np.float32), (24, 60))
    np.testing.assert_array_equal(large, np.zeros((24, 60)))
