import json
import re

import numpy as np
import pytest
import tensorflow as tf
from tensorboard.plugins.custom_scalar import layout_pb2
from tensorboard.plugins.hparams import plugin_data_pb2

from tests.support.rows import step_metrics
from trainer.training.observers.tensorboard import TensorBoard
from trainer.training.utilisation.utilisation import NAMES

CLASSES = ("COVID", "Lung_Opacity", "Normal", "Viral Pneumonia")


def read_events(directory):
    """All values of all event files below a directory, by (subdirectory, tag, step)."""
    values = {}
    for file in sorted(directory.rglob("*tfevents*")):
        curve = file.parent.name if file.parent != directory else "run"
        for event in tf.compat.v1.train.summary_iterator(str(file)):
            for value in event.summary.value:
                values[curve, value.tag, event.step] = value
    return values


def number(value):
    return float(tf.make_ndarray(value.tensor))


@pytest.fixture(scope="module")
def events(finished_run):
    return read_events(finished_run / "tensorboard")


def test_every_scalar_of_every_epoch_is_there(events, finished_run):
    for row in map(json.loads, (finished_run / "metrics.jsonl").open()):
        for tag in ("loss", "accuracy", "learning_rate", "images_per_second", "input_wait"):
            shown = number(events["train", f"epoch/{tag}", row["epoch"]])
            assert shown == pytest.approx(row[tag], rel=1e-6)
        measured = [name for name in NAMES if name in row]
        assert sum(name.startswith("time_share_") for name in measured) == 5
        for name in measured:
            shown = number(events["train", f"epoch/{name}", row["epoch"]])
            assert shown == pytest.approx(row[name], rel=1e-6)
        for tag in ("loss", "accuracy"):
            shown = number(events["validation", f"epoch/{tag}", row["epoch"]])
            assert shown == pytest.approx(row[f"validation_{tag}"], rel=1e-6)


def test_the_steps_of_an_epoch_add_up_to_it(events, finished_run):
    tags = {tag for curve, tag, _ in events if curve == "train" and tag.startswith("step/")}
    names = ("loss", "accuracy", "learning_rate", "gradient_norm", "images_per_second")
    assert tags == {f"step/{name}" for name in (*names, "input_wait")}
    rows = [json.loads(line) for line in (finished_run / "metrics.jsonl").open()]
    steps = sorted(step for curve, tag, step in events if (curve, tag) == ("train", "step/loss"))
    assert len(steps) == len(rows)  # So few steps are one call of the engine.
    for step, row in zip(steps, rows, strict=True):
        assert number(events["train", "step/loss", step]) == pytest.approx(row["loss"], rel=1e-6)
        assert number(events["train", "step/gradient_norm", step]) > 0


def kinds(directory):
    """The plugin that shows each tag: that of its first value, as TensorBoard takes it."""
    found = {}
    for (curve, tag, _), value in sorted(read_events(directory).items(), key=lambda one: one[0][2]):
        if value.metadata.plugin_data.plugin_name:
            found.setdefault((curve, tag), set()).add(value.metadata.plugin_data.plugin_name)
    return found


def test_the_confusion_matrix_is_shown_as_a_picture_and_as_numbers(events, finished_run):
    shown = kinds(finished_run / "tensorboard")
    assert all(len(plugins) == 1 for plugins in shown.values())
    assert shown["validation", "confusion_matrix"] == {"images"}
    assert shown["validation", "confusion_counts"] == {"text"}
    rows = [json.loads(line) for line in (finished_run / "metrics.jsonl").open()]
    for row in rows:
        _, _, picture = tf.make_ndarray(
            events["validation", "confusion_matrix", row["epoch"]].tensor
        )
        assert tf.io.decode_png(picture).shape[2] == 3
    last = tf.make_ndarray(events["validation", "confusion_counts", rows[-1]["epoch"]].tensor)
    lines = last.item().decode().splitlines()
    counts = np.array([[int(n) for n in line.split("|")[2:-1]] for line in lines[2:]])
    assert counts.trace() / counts.sum() == pytest.approx(rows[-1]["validation_accuracy"])
    recalls = [
        number(events["validation", f"epoch/recall/{name}", rows[-1]["epoch"]]) for name in CLASSES
    ]
    np.testing.assert_allclose(recalls, counts.diagonal() / counts.sum(axis=1), rtol=1e-6)


def test_settings_batch_and_hparams_are_shown(events, finished_run):
    content = json.loads((finished_run / "config.json").read_text())
    text = tf.make_ndarray(events["run", "config.json", 0].tensor).item().decode()
    assert json.loads(text.removeprefix("```json\n").removesuffix("\n```")) == content
    width, height, picture = tf.make_ndarray(events["train", "augmented_batch", 0].tensor)
    assert (int(width), int(height)) == (4 * 224, 4 * 224)
    assert tf.io.decode_png(picture).shape == (4 * 224, 4 * 224, 3)
    (session,) = [
        plugin_data_pb2.HParamsPluginData.FromString(value.metadata.plugin_data.content)
        for (_, tag, _), value in events.items()
        if tag == "_hparams_/session_start_info"
    ]
    shown = session.session_start_info.hparams
    assert shown["learning_rate"].number_value == content["config"]["learning_rate"]
    assert set(shown) == set(content["config"])
    status = json.loads((finished_run / "status.json").read_text())
    best = number(events["run", "best/validation_loss", status["best_epoch"]])
    assert best == pytest.approx(status["best_validation_loss"], rel=1e-6)


def test_the_loss_scale_is_shown_where_there_is_one(tmp_path):
    TensorBoard(tmp_path, CLASSES).finish_steps(step_metrics(loss_scale=1024.0))
    shown = read_events(tmp_path)
    assert number(shown["train", "step/loss_scale", 3]) == 1024
    assert ("train", "step/input_wait", 3) not in shown


def test_the_layout_of_custom_scalars_shows_every_curve(events, finished_run):
    value = events["run", "custom_scalars__config__", 0]
    assert value.metadata.plugin_data.plugin_name == "custom_scalars"
    layout = layout_pb2.Layout.FromString(tf.make_ndarray(value.tensor).item())
    patterns = [
        tag
        for category in layout.category
        for chart in category.chart
        for tag in chart.multiline.tag
    ]
    curves = {tag for _, tag, _ in events if tag.startswith(("epoch/", "step/"))}
    shown = {tag for tag in curves for pattern in patterns if re.fullmatch(pattern, tag)}
    assert curves - shown == {"epoch/learning_rate"}
