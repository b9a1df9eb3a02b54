import csv
import os
import shutil
import signal

import keras
import numpy as np
import PIL.Image
import pytest
import tensorflow as tf
from scipy import special

from tests.conftest import ROOT, run_command
from tests.support import processes, radiograph_file
from trainer.evaluation.training_features import load
from trainer.run import Run

NAMES = ["COVID", "Lung_Opacity", "Normal", "Viral Pneumonia"]
CALIBRATED = [f"calibrated {name}" for name in NAMES]
SHAPE = (224, 224, 1)
BAD = {
    "a-empty.png": b"",
    "b-text.jpg": b"some words",
    "c-cut.png": None,
    "d-zeros.dcm": bytes(500),
    "notes.txt": b"nothing to see",
}


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """40 radiographs of noise, more than a batch, and five files that are none among them."""
    folder = tmp_path_factory.mktemp("images")
    generator = np.random.default_rng(0)
    for number in range(40):
        coarse = PIL.Image.fromarray(generator.choice([0, 20, 255], (3, 2)).astype(np.uint8))
        (folder / f"{number % 3}").mkdir(exist_ok=True)
        coarse.resize((90, 100)).save(folder / f"{number % 3}/{number:02d}.png")
    whole = (folder / "0/00.png").read_bytes()
    for name, content in BAD.items():
        (folder / "1" / name).write_bytes(whole[:-30] if content is None else content)
    return folder


@pytest.fixture(scope="module")
def runs(finished_run, folder, tmp_path_factory):
    """Two runs whose last layers are random and tell the radiographs of the folder apart."""
    parent, generator = tmp_path_factory.mktemp("runs"), np.random.default_rng(0)
    images = np.stack([radiograph_file.read(path, SHAPE) for path in folder.rglob("[0-9]*.png")])
    for name in ("first", "second"):
        copied = shutil.ignore_patterns("checkpoints", "calibration.json", "training_*")
        shutil.copytree(finished_run, parent / name, ignore=copied)
        model = keras.models.load_model(parent / name / "model.keras")
        layer = model.get_layer("logits")
        features = keras.Model(model.input, layer.input).predict(images, verbose=0)
        kernel = generator.normal(0, 0.1 / features.std(), layer.kernel.shape)
        layer.set_weights([kernel, -features.mean(axis=0) @ kernel])
        model.save(parent / name / "model.keras")
    return [parent / "first", parent / "second"]


@pytest.fixture(scope="module")
def predictions(runs, folder, tmp_path_factory):
    """The table of the first run, and what the command said."""
    output = tmp_path_factory.mktemp("predict") / "predictions.csv"
    said = predict(f"--workdir={runs[0]}", f"--images={folder}", f"--output={output}")
    return output, said


def predict(*flags, code=0):
    return run_command("trainer.predict", *map(str, flags), code=code)


def read(output):
    with open(output, newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def shares(rows, columns=NAMES):
    """The numbers of the rows that have any."""
    return np.array([[float(row[name]) for name in columns] for row in rows if row["predicted"]])


def keras_predicts(workdir, paths):
    """Keras' own predict, of files that were read one by one."""
    images = np.stack([radiograph_file.read(path, SHAPE) for path in paths])
    return keras.models.load_model(workdir / "model.keras").predict(images, verbose=0)


def good(rows):
    return [row for row in rows if not row["left_out"]]


def test_each_radiograph_has_the_probabilities_of_keras(runs, folder, predictions):
    rows = read(predictions[0])
    assert [row["path"] for row in rows] == sorted(map(str, files_of(folder)))
    expected = keras_predicts(runs[0], [row["path"] for row in good(rows)])
    np.testing.assert_allclose(shares(rows), expected, atol=1e-6)
    assert [row["predicted"] for row in good(rows)] == [NAMES[i] for i in expected.argmax(axis=1)]
    assert len({row["predicted"] for row in good(rows)}) > 1


def files_of(folder):
    return [path for path in folder.rglob("*") if path.is_file()]


def test_what_is_no_radiograph_has_a_row_that_says_why(folder, predictions):
    output, said = predictions
    bad = {os.path.basename(row["path"]): row for row in read(output) if row["left_out"]}
    assert set(bad) == set(BAD)
    assert bad["a-empty.png"]["left_out"] == "the file is empty"
    assert bad["c-cut.png"]["left_out"].startswith("damaged PNG image")
    for row in bad.values():
        assert not any(row[name] for name in ("predicted", "decision", "set", *NAMES, *CALIBRATED))
    assert "40 radiographs read, 5 files left out: " in said
    assert not output.with_name("predictions.csv.partial").exists()


def test_temperature_decision_and_set_are_those_of_the_evaluation(runs, predictions, tmp_path):
    rows, digest = read(predictions[0]), Run(runs[0]).load_model().sha256
    kept = Run(runs[0]).read_calibration(digest)
    (runs[0] / "calibration.json").rename(tmp_path / "kept.json")
    run_command(
        "trainer.evaluate", f"--workdir={runs[0]}", f"--output_dir={tmp_path}", "--resamples=100"
    )
    evaluated = Run(runs[0]).read_calibration(digest)
    assert kept == evaluated
    logits = np.log(shares(rows))
    expected = special.softmax(logits / evaluated["temperature"], axis=1)
    np.testing.assert_allclose(shares(rows, CALIBRATED), expected, atol=1e-9)
    is_covid = shares(rows)[:, 0] >= evaluated["thresholds"]["COVID"]
    assert [row["decision"] == "COVID" for row in good(rows)] == is_covid.tolist()
    quantiles = evaluated["conformal"]["quantiles"]
    for row in good(rows):
        limits = {name: 2 if quantiles[name] is None else quantiles[name] for name in NAMES}
        in_set = [name for name in NAMES if 1 - float(row[name]) <= limits[name]]
        assert row["set"] == "; ".join(in_set)


def test_what_is_unlike_the_training_is_flagged(runs, predictions):
    rows, best = good(read(predictions[0])), Run(runs[0]).load_model()
    images = np.stack([radiograph_file.read(row["path"], SHAPE) for row in rows])
    network = keras.Model(best.network.input, best.network.get_layer("logits").input)
    expected = load(runs[0], best.sha256).distance(network.predict(images, verbose=0))
    found = np.array([float(row["distance"]) for row in rows])
    np.testing.assert_allclose(found, expected, rtol=1e-5)
    assert [row["unusual"] for row in rows] == ["yes" if far > 1 else "" for far in found]
    assert "yes" in {row["unusual"] for row in rows}  # Noise, beside phantoms.


def test_several_runs_are_averaged(runs, folder, tmp_path):
    output = tmp_path / "mean.csv"
    predict(*(f"--workdir={run}" for run in runs), f"--images={folder}/0", f"--output={output}",
            "--positive_class=Normal")  # fmt: skip
    rows = read(output)
    each = [keras_predicts(run, [row["path"] for row in rows]) for run in runs]
    np.testing.assert_allclose(shares(rows), np.mean(each, axis=0), atol=1e-6)
    assert {row["decision"] for row in rows} <= {"Normal", "not Normal"}
    assert not (runs[1] / "calibration.json").exists()
    assert "unusual" not in rows[0]


@pytest.fixture(scope="module")
def saved(runs, tmp_path_factory):
    """The first run, exported."""
    saved = tmp_path_factory.mktemp("saved") / "model"
    run_command("trainer.export_model", f"--workdir={runs[0]}", f"--output_dir={saved}")
    return saved


def test_an_exported_model_predicts_as_its_run(saved, folder, predictions, tmp_path):
    predict(f"--model={saved}", f"--images={folder}", f"--output={tmp_path / 'p.csv'}")
    ours, its = read(tmp_path / "p.csv"), read(predictions[0])
    np.testing.assert_allclose(shares(ours), shares(its), atol=1e-6)
    np.testing.assert_allclose(shares(ours, CALIBRATED), shares(its, CALIBRATED), atol=1e-6)
    distances = [shares(rows, ["distance"]) for rows in (ours, its)]
    np.testing.assert_allclose(*distances, rtol=1e-5)


def test_without_the_dataset_there_is_nothing_calibrated(runs, folder, tmp_path):
    run = tmp_path / "run"
    shutil.copytree(runs[1], run)
    text = (run / "config.json").read_text()
    config = Run(runs[1]).read_config()["config"]
    (run / "config.json").write_text(text.replace(config["data_dir"], str(tmp_path / "gone")))
    said = predict(f"--workdir={run}", f"--images={folder}/0", f"--output={tmp_path / 'p.csv'}")
    assert "calibrated probabilities, decisions and prediction sets are left out: " in said
    assert "the flag of radiographs unlike the training's is left out: " in said
    assert list(read(tmp_path / "p.csv")[0]) == ["path", "predicted", *NAMES, "remarks", "left_out"]


def test_a_table_of_paths_is_read(runs, folder, predictions, tmp_path):
    table = folder / "list.CSV"
    table.write_text("﻿Nr; PATH \n1; 2/02.png \n\n2;gone.png\n3\n4;2\n5;0/00.png\n ; \n")
    try:
        predict(f"--workdir={runs[0]}", f"--images={table}", f"--output={tmp_path / 'p.csv'}")
    finally:
        table.unlink()
    rows = read(tmp_path / "p.csv")
    assert [row["path"] for row in rows] == ["2/02.png", "gone.png", "", "2", "0/00.png"]
    assert [row["left_out"] for row in rows][1:4] == [
        "no such file", "the row names no file", "cannot be read (Is a directory)"
    ]  # fmt: skip
    before = {row["path"]: row for row in read(predictions[0])}
    for row in good(rows):
        np.testing.assert_allclose(
            shares([row]), shares([before[str(folder / row["path"])]]), atol=1e-6
        )


def test_results_among_the_radiographs_are_not_predicted(runs, folder, tmp_path):
    own, output = tmp_path / "own", tmp_path / "own/p.csv"
    shutil.copytree(folder / "0", own)
    shutil.copytree(folder / "0", own / "p-heatmaps")  # As an earlier call with --explain leaves.
    contents = []
    for _ in range(2):
        predict(f"--workdir={runs[0]}", f"--images={own}", f"--output={output}")
        contents.append(output.read_bytes())
    assert contents[0] == contents[1]
    assert len(read(output)) == len(files_of(folder / "0"))


def test_what_was_interrupted_goes_on_to_the_same_bytes(runs, folder, forks, tmp_path):
    table = tmp_path / "many.csv"
    paths = [str(path) for path in sorted(files_of(folder))] * 15
    table.write_text("\n".join(["path", *paths]) + "\n")
    output, whole = tmp_path / "out/p.csv", tmp_path / "whole.csv"
    rows = tmp_path / "out/p.csv.partial/rows.csv"
    flags = [f"--workdir={runs[0]}", f"--images={table}"]
    predict(*flags, f"--output={whole}")
    assert len(read(whole)) == len(paths)

    size = 0
    for sign, code in ((signal.SIGKILL, -signal.SIGKILL), (signal.SIGTERM, 75)):
        process = forks.start("trainer.predict", [*flags, f"--output={output}"], ROOT)
        processes.wait_until(lambda: rows.exists() and rows.stat().st_size > size + 4000, process)  # noqa: B023
        process.send_signal(sign)
        said = process.communicate()[1]
        assert process.returncode == code, said
        assert not output.exists()
        size = rows.stat().st_size
    assert "the same command continues" in said
    assert size < whole.stat().st_size
    refused = predict(*flags, "--any_view", f"--output={output}", code=2)
    assert "is an interrupted table of other any_view: run that command again" in refused

    with rows.open("ab") as file:  # A torn line, as of a full disk.
        file.write(b'half,"a line\n')
    said = predict(*flags, f"--output={output}")
    assert "resuming after " in said
    assert output.read_bytes() == whole.read_bytes()
    assert not rows.parent.exists()


def test_heatmaps_lie_beside_the_table(runs, folder, tmp_path):
    output = tmp_path / "p.csv"
    paths = sorted(files_of(folder / "1"))[:4]
    table = tmp_path / "few.csv"
    table.write_text("\n".join(["path", *map(str, paths)]) + "\n")
    flags = [f"--workdir={runs[0]}", f"--images={table}", f"--output={output}", "--explain"]
    predict(*flags)
    gallery = tmp_path / "gallery"
    run_command(
        "trainer.export_gradcam", f"--workdir={runs[0]}", "--nocurves", f"--output_dir={gallery}",
        *(f"--images={row['path']}" for row in good(read(output))),
    )  # fmt: skip
    index = read(gallery / "index.csv")
    for row, theirs in zip(good(read(output)), index, strict=True):
        panel = tmp_path / "p-heatmaps" / row["panel"]
        np.testing.assert_allclose(
            np.load(panel.with_suffix(".npy")), np.load(gallery / theirs["heatmap"]), atol=1e-4
        )
        assert PIL.Image.open(panel).size == PIL.Image.open(gallery / theirs["panel"]).size
        assert (theirs["id"], theirs["predicted"]) == (
            os.path.basename(row["path"]), row["predicted"]
        )  # fmt: skip
    assert "p-heatmaps holds files" in predict(*flags, code=2)


@pytest.fixture(scope="module")
def one_image(folder, tmp_path_factory):
    """A radiograph as PNG, TIFF and DICOM, in the folder of a class."""
    from tests.support import dicom_file

    parent = tmp_path_factory.mktemp("formats")
    (parent / "Normal").mkdir()
    pixels = np.asarray(PIL.Image.open(folder / "0/00.png"))
    for kind in ("png", "tif"):
        PIL.Image.fromarray(pixels).save(parent / f"Normal/a.{kind}")
    dicom_file.write(
        parent / "Normal/a.dcm", pixels, BitsAllocated=8, BitsStored=8, HighBit=7,
        WindowCenter=128, WindowWidth=256,
    )  # fmt: skip
    return parent


def test_every_command_and_format_gives_a_radiograph_the_same(runs, saved, one_image, tmp_path):
    files = [one_image / "Normal" / name for name in ("a.dcm", "a.png", "a.tif")]
    run, few = f"--workdir={runs[0]}", f"--images={one_image}"
    predict(run, few, f"--output={tmp_path / 'p.csv'}")
    rows = read(tmp_path / "p.csv")
    assert [row["path"] for row in rows] == list(map(str, files))

    run_command(
        "trainer.evaluate", run, f"--images_dir={one_image}", f"--output_dir={tmp_path}/report",
        "--resamples=100",
    )  # fmt: skip
    evaluated = read(tmp_path / "report/predictions.csv")
    assert [row["id"] for row in evaluated] == ["Normal/a.dcm", "Normal/a.png", "Normal/a.tif"]

    run_command(
        "trainer.export_gradcam", run, few, "--nocurves", f"--output_dir={tmp_path}/gallery"
    )
    explained = np.array(
        [float(row["probability"]) for row in read(tmp_path / "gallery/index.csv")]
    )

    served = tf.saved_model.load(str(saved)).signatures["serving_default"]
    answer = served(image_bytes=tf.constant([files[1].read_bytes()]))["probabilities"].numpy()

    expected = keras_predicts(runs[0], files[1:2])
    assert 0.27 < expected.max() < 0.99
    for found in (shares(rows), shares(evaluated), answer):
        np.testing.assert_allclose(found, np.repeat(expected, len(found), axis=0), atol=1e-6)
    np.testing.assert_allclose(explained, np.repeat(expected.max(), 3), atol=1e-6)
