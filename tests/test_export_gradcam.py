import csv
import json
import shutil

import numpy as np
import PIL.Image
import pytest

from tests.conftest import run_command
from trainer.data.radiographs import read_radiograph
from trainer.run import Run


def index(directory):
    with (directory / "index.csv").open(newline="") as file:
        return list(csv.DictReader(file))


def predicted(run, images, class_names):
    """The class and its probability of each image, by the saved model itself."""
    probabilities = Run(run).load_model()(np.stack(images)).numpy()
    return [(class_names[row.argmax()], row.max()) for row in probabilities]


@pytest.fixture(scope="module")
def of_split(finished_run, tmp_path_factory):
    """An export of three examples of the test split."""
    directory = tmp_path_factory.mktemp("gradcam") / "out"
    run_command(
        "trainer.export_gradcam", f"--workdir={finished_run}", "--split=test", "--max_images=3",
        f"--output_dir={directory}",
    )  # fmt: skip
    return directory


def test_so_many_examples_of_the_split_are_explained_as_asked(
    of_split, dataset, phantom_database, finished_run
):
    rows = index(of_split)
    assert len({row["id"] for row in rows}) == len(rows) == 3
    paths = {path.stem: path for path in phantom_database.glob("*/*/images/*.png")}
    images = [read_radiograph(paths[row["id"]], dataset.image_shape) for row in rows]
    answers = predicted(finished_run, images, dataset.class_names)
    for row, (name, probability) in zip(rows, answers, strict=True):
        assert row["label"] == paths[row["id"]].parents[1].name
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
        assert heatmap.shape == (109, 109)  # 224, convolved to 222, pooled to 111, convolved.
        assert heatmap.min() >= 0
        assert (row["empty"] == "True") == (heatmap.max() == 0)


def test_the_summary_names_run_method_and_layer(of_split, finished_run):
    summary = json.loads((of_split / "summary.json").read_text())
    assert summary["run"] == str(finished_run)
    assert (summary["model"], summary["method"], summary["layer"]) == ("lenet", "gradcam", "conv2")
    assert summary["images"] == 3


def test_own_files_are_explained_and_the_unreadable_reported(
    finished_run, phantom_database, dataset, tmp_path
):
    own = tmp_path / "own"
    own.mkdir()
    good = next(phantom_database.glob("*/COVID/images/*.png"))
    shutil.copy(good, own / "good.png")
    (own / "bad.png").write_bytes(b"no image")
    said = run_command(
        "trainer.export_gradcam", f"--workdir={finished_run}", f"--images={own}/*.png",
        f"--output_dir={tmp_path / 'out'}",
    )  # fmt: skip
    assert f"{own / 'bad.png'} is not a readable PNG or JPEG image" in said
    assert "Traceback" not in said
    (row,) = index(tmp_path / "out")
    assert (row["id"], row["label"]) == ("good.png", "")
    image = read_radiograph(good, dataset.image_shape)
    ((name, probability),) = predicted(finished_run, [image], dataset.class_names)
    assert row["predicted"] == name
    assert float(row["probability"]) == pytest.approx(probability, abs=1e-4)


def test_of_several_runs_the_one_with_the_lowest_validation_loss_is_taken(
    finished_run, phantom_database, tmp_path
):
    for name, loss in {"first": 0.9, "best": 0.2, "last": 0.4}.items():
        run = tmp_path / "runs" / name
        run.mkdir(parents=True)
        for file in ("config.json", "status.json"):
            shutil.copy(finished_run / file, run)
        (run / "model.keras").symlink_to(finished_run / "model.keras")
        status = json.loads((run / "status.json").read_text())
        (run / "status.json").write_text(json.dumps(status | {"best_validation_loss": loss}))
    run_command(
        "trainer.export_gradcam", f"--runs_dir={tmp_path / 'runs'}",
        f"--images={phantom_database}/*/Normal/images/Normal-1.png",
        f"--output_dir={tmp_path / 'out'}",
    )  # fmt: skip
    summary = json.loads((tmp_path / "out" / "summary.json").read_text())
    assert summary["run"] == str(tmp_path / "runs" / "best")


def error_sentence(*flags):
    """What a refused command says after `error: `; nothing else may look like a failure."""
    said = run_command("trainer.export_gradcam", *flags, code=2)
    (sentence,) = [line for line in said.splitlines() if line.startswith("error: ")]
    assert said.rstrip().endswith(sentence)
    assert "Traceback" not in said
    return sentence


@pytest.mark.parametrize("flags", [(), ("--workdir=RUN", "--runs_dir=RUNS")])
def test_one_run_or_a_directory_of_runs_is_needed(flags, tmp_path):
    sentence = error_sentence(*flags, "--split=test", f"--output_dir={tmp_path}")
    assert "either --workdir=RUN or --runs_dir=RUNS" in sentence


def test_a_glob_that_matches_no_file_is_named(finished_run, tmp_path):
    sentence = error_sentence(
        f"--workdir={finished_run}", f"--images={tmp_path}/*.png", f"--output_dir={tmp_path}"
    )
    assert f"--images={tmp_path}/*.png: no file matches" in sentence


def test_when_no_file_is_readable_nothing_can_be_explained(finished_run, tmp_path):
    (tmp_path / "bad.png").write_bytes(b"no image")
    sentence = error_sentence(
        f"--workdir={finished_run}",
        f"--images={tmp_path}/*.png",
        f"--output_dir={tmp_path / 'out'}",
    )
    assert f"--images={tmp_path}/*.png" in sentence
