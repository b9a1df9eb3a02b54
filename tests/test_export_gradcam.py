import csv
import json
import os
import shutil
import subprocess
import sys

import numpy as np
import PIL.Image
import pytest

from tests.conftest import ROOT, run_command
from tests.support import radiograph_file
from trainer.data.examples import load_split
from trainer.run import Run


def index(directory):
    with (directory / "index.csv").open(newline="") as file:
        return list(csv.DictReader(file))


def predicted(run, images, class_names):
    """The class and its probability of each image, by the saved model itself."""
    probabilities = Run(run).load_model().network(np.stack(images)).numpy()
    return [(class_names[row.argmax()], row.max()) for row in probabilities]


@pytest.fixture(scope="module")
def of_split(finished_run, phantom_database, tmp_path_factory):
    """An export of three examples of the test split, with all numbers."""
    directory = tmp_path_factory.mktemp("gradcam") / "out"
    run_command(
        "trainer.export_gradcam", f"--workdir={finished_run}", "--split=test", "--max_images=3",
        f"--masks_dir={phantom_database}", f"--output_dir={directory}",
    )  # fmt: skip
    return directory


def test_so_many_examples_of_the_split_are_explained_as_asked(
    of_split, dataset, phantom_database, finished_run
):
    rows = index(of_split)
    assert len({row["id"] for row in rows}) == len(rows) == 3
    paths = {path.stem: path for path in phantom_database.glob("*/*/images/*.png")}
    images = [radiograph_file.read(paths[row["id"]], dataset.image_shape) for row in rows]
    predictions = predicted(finished_run, images, dataset.class_names)
    for row, (name, probability) in zip(rows, predictions, strict=True):
        assert row["true"] == paths[row["id"]].parents[1].name
        assert row["predicted"] == row["target"] == name
        assert float(row["probability"]) == pytest.approx(probability, abs=1e-4)


def test_each_example_has_a_panel_on_the_page_and_a_raw_heatmap(of_split):
    page = (of_split / "index.html").read_text()
    for row in index(of_split):
        with PIL.Image.open(of_split / row["panel"]) as panel:
            panel.load()
        assert f'src="{row["panel"]}"' in page
        heatmap = np.load(of_split / row["heatmap"])
        assert heatmap.dtype == np.float32
        assert heatmap.shape == (25, 25)  # 224, pooled to 56, 54, halved to 27, 25.
        assert heatmap.min() >= 0
        assert (row["empty"] == "True") == (heatmap.max() == 0)


def test_the_summary_names_run_method_and_layer(of_split, finished_run):
    summary = json.loads((of_split / "summary.json").read_text())
    assert summary["run"] == str(finished_run)
    assert (summary["model"], summary["method"], summary["layer"]) == ("lenet", "gradcam", "conv2")
    assert summary["images"] == 3
    assert set(summary["images_per_second"]) == {"1", "32"}
    assert "not for diagnosis" in summary["research_use"]


def test_the_numbers_are_those_of_the_heatmaps_and_the_drawn_masks(of_split, phantom_database):
    for row in index(of_split):
        heatmap = np.load(of_split / row["heatmap"])
        for name, kind in (("lung", "masks"), ("finding", "findings")):
            (path,) = phantom_database.glob(f"*/*/{kind}/{row['id']}.png")
            mask = np.asarray(PIL.Image.open(path).convert("L").resize((224, 224))) > 127
            if not mask.any():
                assert row[f"{name}_heat"] == row[f"{name}_area"] == ""
                continue
            assert float(row[f"{name}_area"]) == pytest.approx(mask.mean(), abs=0.01)
            if heatmap.any():
                large = np.asarray(PIL.Image.fromarray(heatmap).resize((224, 224), 2))
                share = large[mask].sum() / large.sum()
                assert float(row[f"{name}_heat"]) == pytest.approx(share, abs=0.03)


def test_radiographs_are_chosen_by_id_and_a_named_class_explained(finished_run, dataset, tmp_path):
    examples = load_split(dataset, "test")
    run_command(
        "trainer.export_gradcam", f"--workdir={finished_run}", "--split=test", "--nocurves",
        f"--ids={examples.ids[2]},{examples.ids[4]}", "--target=Viral Pneumonia",
        "--method=layercam", "--layer=conv1", f"--output_dir={tmp_path}",
    )  # fmt: skip
    rows = index(tmp_path)
    assert [row["id"] for row in rows] == [examples.ids[2], examples.ids[4]]
    assert {(row["target"], row["method"], row["layer"]) for row in rows} == {
        ("Viral Pneumonia", "layercam", "conv1")
    }
    assert np.load(tmp_path / rows[0]["heatmap"]).shape == (54, 54)


def test_own_files_are_explained_by_the_best_of_several_runs_and_the_unreadable_reported(
    finished_run, phantom_database, dataset, tmp_path
):
    for name, loss in {"first": 0.9, "best": 0.2, "last": 0.4}.items():
        run = tmp_path / "runs [1]*" / name
        run.mkdir(parents=True)
        for file in ("config.json", "status.json"):
            shutil.copy(finished_run / file, run)
        (run / "model.keras").symlink_to(finished_run / "model.keras")
        status = json.loads((run / "status.json").read_text())
        (run / "status.json").write_text(json.dumps(status | {"best_validation_loss": loss}))
    own, out = tmp_path / "own [1]*", tmp_path / "out [1]*"
    own.mkdir()
    good = next(phantom_database.glob("*/COVID/images/*.png"))
    shutil.copy(good, own / "good[1].png")
    (own / "bad.png").write_bytes(b"no image")
    said = run_command(
        "trainer.export_gradcam", f"--runs_dir={tmp_path / 'runs [1]*'}", f"--images={own}",
        "--nocurves", f"--output_dir={out}",
    )  # fmt: skip
    assert f"left out: {own / 'bad.png'}: no image; expected PNG" in said
    assert "1 radiograph read, 1 file left out: 1 no image" in said
    assert "Traceback" not in said
    summary = json.loads((out / "summary.json").read_text())
    assert (summary["run"], summary["left_out"]) == (str(tmp_path / "runs [1]*" / "best"), 1)
    assert summary["caution"] in said
    (row,) = index(out)
    assert (row["id"], row["true"]) == ("good[1].png", "")
    image = radiograph_file.read(good, dataset.image_shape)
    ((name, probability),) = predicted(finished_run, [image], dataset.class_names)
    assert row["predicted"] == name
    assert float(row["probability"]) == pytest.approx(probability, abs=1e-4)


@pytest.mark.slow
def test_an_unfinished_run_is_explained_and_named(finished_run, phantom_database, tmp_path):
    run = tmp_path / "run"
    run.mkdir()
    for file in ("config.json", "model.keras"):
        shutil.copy(finished_run / file, run)
    status = {"status": "running", "best_epoch": 1, "best_validation_loss": 0.5}
    (run / "status.json").write_text(json.dumps(status))
    said = run_command(
        "trainer.export_gradcam", f"--workdir={run}", "--nocurves",
        f"--images={phantom_database}/*/COVID/images/COVID-1.png", f"--output_dir={tmp_path}/out",
    )  # fmt: skip
    assert f"{run} has not finished (its status is running)" in said


@pytest.mark.slow
def test_sigterm_leaves_no_half_of_a_gallery(finished_run, tmp_path):
    # A pipe that nobody writes to holds the export up while its gallery is half-written.
    pipe, out = tmp_path / "radiograph.png", tmp_path / "out"
    os.mkfifo(pipe)
    process = subprocess.Popen(  # noqa: S603
        [
            sys.executable, "-m", "trainer.export_gradcam", f"--workdir={finished_run}",
            f"--images={pipe}", f"--output_dir={out}",
        ],
        cwd=ROOT, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    with pipe.open("wb"):  # It is open once the export reads from it.
        assert [path.name[:9] for path in out.iterdir()] == [".partial-"]
        process.terminate()
    _, said = process.communicate(timeout=120)
    assert process.returncode == 143, said
    assert said.rstrip().endswith("stopped: by SIGTERM; unfinished output was removed")
    assert "Traceback" not in said
    assert not out.exists()
