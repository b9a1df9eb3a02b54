import csv
import hashlib
import json
import shutil

import keras
import numpy as np
import PIL.Image
import pytest
import tensorflow as tf
from scipy import special, stats
from sklearn import metrics

from tests.conftest import run_command
from tests.support.report_schemas import require_valid
from trainer.data.example_stream import read_examples
from trainer.evaluation.training_features import load
from trainer.run import Run


def copy_run(finished_run, workdir, change_logits):
    """A run whose network has other weights in its last layer."""
    shutil.copytree(
        finished_run, workdir, ignore=shutil.ignore_patterns("checkpoints", "calib*", "training_*")
    )
    model = keras.models.load_model(workdir / "model.keras")
    layer = model.get_layer("logits")
    layer.set_weights([change_logits(weight) for weight in layer.get_weights()])
    model.save(workdir / "model.keras")
    return workdir


@pytest.fixture(scope="module")
def run(finished_run, tmp_path_factory):
    """The finished run, less sure of itself: two epochs of raw gray values give 0 and 1 alone."""
    return copy_run(finished_run, tmp_path_factory.mktemp("runs") / "run", lambda w: w / 100)


@pytest.fixture(scope="module")
def directory(run, tmp_path_factory):
    """The report of the run on the test split."""
    directory = tmp_path_factory.mktemp("evaluate") / "report"
    run_command(
        "trainer.evaluate", f"--workdir={run}", "--split=test",
        f"--output_dir={directory}", "--resamples=300",
    )  # fmt: skip
    return directory


@pytest.fixture(scope="module")
def rows(directory):
    return read_rows(directory)


@pytest.fixture(scope="module")
def report(directory):
    content = json.loads((directory / "report.json").read_text())
    require_valid(content)
    return content


@pytest.fixture(scope="module")
def examples(dataset):
    """The test split as one batch."""
    size = dataset.num_examples("test")
    examples = read_examples(dataset, "test", cache="off", shuffle_seed=None)
    return next(examples.one_pass(size).as_numpy_iterator())


@pytest.fixture(scope="module")
def features(dataset):
    """Source and lungs of each test radiograph, read with no part of the trainer."""
    with open(f"{dataset.builder.data_dir}/splits.csv", newline="") as file:
        table = {row["id"]: row for row in csv.DictReader(file)}
    told = {}
    for record in tf.data.TFRecordDataset(dataset.files("test")).as_numpy_iterator():
        feature = tf.train.Example.FromString(record).features.feature
        mask = tf.io.decode_compressed(feature["mask"].bytes_list.value[0], "ZLIB").numpy()
        lungs = np.frombuffer(mask, np.uint8).reshape(dataset.image_shape)
        name = feature["id"].bytes_list.value[0].decode()
        told[name] = {"source": table[name]["source"], "lungs": lungs}
    return told


def test_what_is_unlike_the_training_is_counted(run, directory, report, examples):
    best = Run(run).load_model()
    network = keras.Model(best.network.input, best.network.get_layer("logits").input)
    far = load(run, best.sha256).distance(network.predict(examples["image"], verbose=0)) > 1
    unusual = report["unusual"]
    assert (unusual["examples"], unusual["flagged"]) == (len(far), far.sum())
    expected = stats.binomtest(int(far.sum()), len(far)).proportion_ci(0.95, "exact")
    low, high = unusual["interval"]
    assert low <= expected.low and high >= expected.high  # Copies count as one.
    for label, part in enumerate(unusual["by_class"].values()):
        assert part["flagged"] == far[examples["label"] == label].sum()
    assert sum(part["examples"] for part in unusual["by_source"].values()) == len(far)
    page = (directory / "report.html").read_text()
    assert "Out-of-distribution flag" in page and "not a guarantee" in page


@pytest.fixture(scope="module")
def compared(finished_run, tmp_path_factory):
    """The report of two runs and their ensemble, flipped; the second has other weights."""
    parent = tmp_path_factory.mktemp("compared")
    generator = np.random.default_rng(0)
    changes = {"first": lambda w: w / 100, "second": lambda w: generator.normal(0, 0.02, w.shape)}
    workdirs = [copy_run(finished_run, parent / name, changes[name]) for name in changes]
    run_command(
        "trainer.evaluate", *(f"--workdir={workdir}" for workdir in workdirs), "--ensemble",
        "--tta=flip", "--positive_class=Viral Pneumonia", "--note=Synthetic phantoms.",
        "--resamples=300", "--seed=4", f"--output_dir={parent / 'report'}",
    )  # fmt: skip
    return parent


def read_rows(directory):
    with (directory / "predictions.csv").open(newline="") as file:
        return list(csv.DictReader(file))


def arrays(rows, class_names):
    """Labels and probabilities of predictions.csv."""
    labels = np.array([class_names.index(row["label"]) for row in rows])
    return labels, np.array([[float(row[name]) for name in class_names] for row in rows])


def check(numbers, labels, probabilities, class_names):
    """Recomputes all statistics with scikit-learn."""
    said = probabilities.argmax(axis=1)
    every = range(len(class_names))
    assert numbers["examples"] == len(labels)
    np.testing.assert_array_equal(
        numbers["confusion_matrix"], metrics.confusion_matrix(labels, said, labels=every)
    )
    expected = {
        "accuracy": metrics.accuracy_score(labels, said),
        "balanced_accuracy": metrics.recall_score(
            labels, said, labels=np.unique(labels), average="macro"
        ),
        "macro_f1": metrics.f1_score(labels, said, average="macro"),
        "weighted_f1": metrics.f1_score(labels, said, average="weighted"),
        "mcc": metrics.matthews_corrcoef(labels, said),
        "log_loss": metrics.log_loss(labels, probabilities, labels=every),
        "brier_score": np.mean(np.sum((probabilities - np.eye(len(every))[labels]) ** 2, axis=1)),
        "one_vs_rest_accuracy": np.mean(
            [metrics.accuracy_score(labels == index, said == index) for index in every]
        ),
    }
    if numbers["cohen_kappa"] is not None:
        expected["cohen_kappa"] = metrics.cohen_kappa_score(labels, said)
    for name, value in expected.items():
        assert numbers[name] == pytest.approx(value), name
    for index, name in enumerate(class_names):
        check_class(
            numbers["per_class"][name], labels == index, said == index, probabilities[:, index]
        )


def check_class(numbers, true, said, score):
    kinds = {
        "sensitivity": (true, said), "recall": (true, said), "specificity": (~true, ~said),
        "ppv": (said, true), "precision": (said, true), "npv": (~said, ~true),
    }  # fmt: skip
    for name, (of, found) in kinds.items():
        assert numbers[name] == (pytest.approx(found[of].mean()) if of.any() else None), name
    assert numbers["support"] == true.sum()
    if true.any():
        assert numbers["f1"] == pytest.approx(metrics.f1_score(true, said))
        area = metrics.average_precision_score(true, score)
        assert numbers["average_precision"] == pytest.approx(area)
    if 0 < true.sum() < len(true):
        assert numbers["auroc"] == pytest.approx(metrics.roc_auc_score(true, score))


def test_every_example_of_the_split_is_predicted_once(rows, dataset, examples):
    assert list(rows[0]) == ["id", "label", "predicted", *dataset.class_names]
    labels = {
        example_id.decode(): dataset.class_names[label]
        for example_id, label in zip(examples["id"], examples["label"], strict=True)
    }
    assert sorted(row["id"] for row in rows) == sorted(labels)
    assert all(row["label"] == labels[row["id"]] for row in rows)


def test_probabilities_are_those_of_the_saved_model(rows, dataset, examples, run):
    probabilities = Run(run).load_model().network(examples["image"]).numpy()
    expected = dict(zip(examples["id"].astype(str), probabilities, strict=True))
    for row in rows:
        found = [float(row[name]) for name in dataset.class_names]
        np.testing.assert_allclose(found, expected[row["id"]], atol=1e-5)
        assert row["predicted"] == dataset.class_names[int(np.argmax(found))]


def test_every_number_is_scikit_learns_from_predictions_csv(rows, report, dataset, features):
    labels, probabilities = arrays(rows, dataset.class_names)
    check(report, labels, probabilities, dataset.class_names)
    sources = np.array([features[row["id"]]["source"] for row in rows])
    assert set(report["by_source"]) == set(sources)
    for source, numbers in report["by_source"].items():
        inside = sources == source
        check(numbers, labels[inside], probabilities[inside], dataset.class_names)
    for pair in report["pairs_within_sources"]:
        classes = [dataset.class_names.index(name) for name in pair["classes"]]
        inside = (sources == pair["source"]) & np.isin(labels, classes)
        shares = probabilities[inside][:, classes]
        shares /= shares.sum(axis=1, keepdims=True)
        check(pair, (labels[inside] == classes[1]) * 1, shares, pair["classes"])


def test_every_interval_holds_its_number(report, dataset):
    for numbers in (report, *report["per_class"].values()):
        for name, interval in numbers["intervals"].items():
            assert (interval is None) == (numbers[name] is None) or numbers["why"][name]
            if interval:
                assert interval[0] <= numbers[name] <= interval[1], name


def test_the_temperature_and_thresholds_come_from_validation(report, dataset, run, rows):
    stored = json.loads((run / "calibration.json").read_text())
    model_bytes = (run / "model.keras").read_bytes()
    assert stored["model_sha256"] == hashlib.sha256(model_bytes).hexdigest()
    assert report["tuning"] == {key: stored[key] for key in stored if key != "model_sha256"}

    examples = read_examples(dataset, "validation", cache="off", shuffle_seed=None)
    batch = next(examples.one_pass(examples.size).as_numpy_iterator())
    probabilities = Run(run).load_model().network(batch["image"]).numpy().astype(float)
    losses = {
        temperature: metrics.log_loss(
            batch["label"], special.softmax(np.log(probabilities) / temperature, axis=1)
        )
        for temperature in np.array([0.9, 0.99, 1, 1.01, 1.1]) * stored["temperature"]
    }
    assert min(losses, key=losses.get) == stored["temperature"]
    found = probabilities[batch["label"] == 0, 0] >= stored["thresholds"]["COVID"] - 1e-6
    assert found.mean() >= 0.95

    labels, shares = arrays(rows, dataset.class_names)
    softened = special.softmax(np.log(shares) / stored["temperature"], axis=1)
    after = report["calibration"]["after"]
    assert after["log_loss"] == pytest.approx(metrics.log_loss(labels, softened))
    said = shares[:, 0] >= stored["thresholds"]["COVID"]
    point = report["operating_point"]
    assert point["sensitivity"] == pytest.approx(said[labels == 0].mean())
    assert point["specificity"] == pytest.approx(1 - said[labels != 0].mean())


def test_shortcut_controls_are_the_models_answers_to_blanked_radiographs(
    report, examples, features, run
):
    model = Run(run).load_model().network
    lungs = np.array([features[name.decode()]["lungs"] for name in examples["id"]])
    for view, images in (
        ("whole", examples["image"]),
        ("lungs_only", examples["image"] * lungs),
        ("lungs_blanked", examples["image"] * (1 - lungs)),
    ):
        said = model(images).numpy().argmax(axis=1)
        accuracy = np.mean(said == examples["label"])
        assert report["shortcut_controls"][view]["accuracy"] == pytest.approx(accuracy)


def test_the_report_says_what_was_judged_on_what(report, run, dataset, rows):
    assert report["run"] == str(run)
    assert (report["model"], report["split"]) == ("lenet", "test")
    assert report["dataset"] == dataset.name
    assert report["class_names"] == list(dataset.class_names)
    lines = "".join(sorted(f"{row['id']},{row['label']}\n" for row in rows))
    assert report["split_digest"] == hashlib.sha256(lines.encode()).hexdigest()
    assert report["run_config"] == json.loads((run / "config.json").read_text())
    assert f"--workdir={run}" in report["command"]
    assert "not for diagnosis" in report["research_use"]


def test_several_runs_are_compared_with_their_ensemble(compared, dataset):
    report = json.loads((compared / "report" / "report.json").read_text())
    require_valid(report)
    assert list(report["models"]) == ["first", "second", "ensemble"]
    answers = {}
    for name, model in report["models"].items():
        labels, answers[name] = arrays(
            read_rows(compared / "report" / model["folder"]), dataset.class_names
        )
        check(model, labels, answers[name], dataset.class_names)
    np.testing.assert_allclose(
        answers["ensemble"], (answers["first"] + answers["second"]) / 2, atol=1e-12
    )
    right = {name: shares.argmax(axis=1) == labels for name, shares in answers.items()}
    for pair in report["comparison"]["pairs"]:
        first, second = (right[name] for name in pair["models"])
        counts = np.sum(first & ~second), np.sum(second & ~first)
        assert (pair["only_first_right"], pair["only_second_right"]) == counts
        expected = stats.binomtest(counts[0], sum(counts)).pvalue if sum(counts) else 1.0
        assert pair["mcnemar_p"] == pytest.approx(expected)
    assert report["bootstrap"]["seed"] == 4
    assert report["positive_class"] == "Viral Pneumonia"
    assert "Synthetic phantoms." in (compared / "report" / "report.html").read_text()


def test_the_flip_is_the_mean_with_the_mirror_image(compared, dataset, examples):
    model = Run(compared / "first").load_model().network
    images = examples["image"]
    expected = (model(images).numpy() + model(images[:, :, ::-1]).numpy()) / 2
    _, found = arrays(read_rows(compared / "report"), dataset.class_names)
    np.testing.assert_allclose(found, expected, atol=1e-5)
    # What is chosen for flipped answers is not kept for a model that is used without.
    assert not (compared / "first" / "calibration.json").exists()


def test_own_images_are_judged_with_what_was_kept(
    directory, run, phantom_database, tmp_path, rows, dataset
):
    """The same radiographs from their files: the same answers, without the built dataset."""
    for row in rows[:6]:
        (tmp_path / "own [1]*" / row["label"]).mkdir(parents=True, exist_ok=True)
        path = next(phantom_database.glob(f"*/*/images/{row['id']}.png"))
        shutil.copy(path, tmp_path / "own [1]*" / row["label"])
    run_command(
        "trainer.evaluate", f"--workdir={run}", f"--images_dir={tmp_path / 'own [1]*'}",
        f"--output_dir={tmp_path / 'report [1]*'}", "--data_dir=/nowhere", "--resamples=100",
    )  # fmt: skip
    report = json.loads((tmp_path / "report [1]*" / "report.json").read_text())
    expected = {f"{row['label']}/{row['id']}.png": row for row in rows[:6]}
    own = read_rows(tmp_path / "report [1]*")
    assert sorted(row["id"] for row in own) == sorted(expected)
    for row in own:
        for name in dataset.class_names:
            assert float(row[name]) == pytest.approx(float(expected[row["id"]][name]), abs=1e-5)
    stored = json.loads((run / "calibration.json").read_text())
    assert report["calibration"]["temperature"] == stored["temperature"]
    assert (report["dataset"], report["split"], report["original"]) == (None, None, None)
    for section in ("by_source", "shortcut_controls"):
        assert report[section] is None and report["why"][section]


def test_the_pictures_are_pictures(directory):
    for path in directory.rglob("*.png"):
        with PIL.Image.open(path) as picture:
            assert picture.format == "PNG"
            assert len(picture.convert("RGB").getcolors(maxcolors=1 << 24)) > 10
