"""What it takes to add a setting or a network: the edits of docs/how_to/extend.md, on a copy.

Each is tried by its flag: in --help, out of range, in config.json and in a training.
"""

import json
import os
import shutil

import keras
import pytest

from tests.conftest import ROOT
from tests.support import small_dataset
from tests.support.forked_commands import Forks

AUGMENT, LENET = "trainer/data/augment.py", "trainer/models/lenet.py"
ARCHITECTURE, OPTIMIZER = "trainer/models/architecture.py", "trainer/training/optimizer.py"
BACKBONES, RECIPES = "trainer/models/backbones.py", "trainer/recipes.py"
PAGE = ROOT / "docs" / "how_to" / "extend.md"

# File, the text before which a line goes, and that line.
EDITS = {
    "augmentation": [
        (AUGMENT, "}\nNUM_DRAWS", '    "inverting": 1,\n'),
        (
            AUGMENT,
            "\n\ndef uniform_draws(",
            '    inverting: float = setting(0.0, "Probability to invert.", within=(0, 1))\n',
        ),
        (
            AUGMENT,
            "    return tf.cast(tf.round(tf.clip_by_value(pixels, 0, 255)), tf.uint8)\n",
            '    chance = draws_for("inverting", draws)[:, None, None, None]\n'
            "    pixels = tf.where(chance < chosen.inverting, 255 - pixels, pixels)\n",
        ),
    ],
    "setting of a network": [
        (
            ARCHITECTURE,
            "\n\nORIGINAL",
            '    units: int = setting(128, "Units of the dense layer.", within=(1, math.inf), '
            "only_for=LENET)\n",
        ),
        (
            LENET,
            "    return layers.Dense(128",
            '    return layers.Dense(architecture.units, activation="relu", name="dense")(flat)\n',
        ),
    ],
    "setting of an optimizer": [
        (
            OPTIMIZER,
            "\n\ndef build_optimizer(",
            '    beta: float = setting(0.9, "First momentum of adam.", within=(0, 1))\n',
        ),
        (
            OPTIMIZER,
            "    make = {",
            '    settings["beta_1"] = chosen.beta\n',
        ),
    ],
    "backbone": [
        (
            BACKBONES,
            "BACKBONES = {",
            "def tiny(include_top, weights, input_tensor):\n"
            "    x = keras.layers.Conv2D(4, 3, 4)(input_tensor)\n"
            "    x = keras.layers.BatchNormalization()(x)\n"
            "    return keras.Model(keras.utils.get_source_inputs(input_tensor), x)\n\n\n",
        ),
        (
            BACKBONES,
            '    "resnet101": Backbone(',
            '    "tiny": Backbone(tiny, ImageNetWeights("", ""), _flatten_and_dense(8)),\n',
        ),
        (RECIPES, "_STRONG = {", 'SEED["tiny"] = _SEED | {"train_backbone": True}\n\n'),
        (RECIPES, "RECIPES = ", 'STRONG["tiny"] = _STRONG | {"epochs": 2}\n'),
    ],
}


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    """A copy of the packages with all edits, and a dataset beside it."""
    place = tmp_path_factory.mktemp("extended")
    for package in ("trainer", "cxr_command", "cxr_tfds"):
        shutil.copytree(ROOT / package, place / package, ignore=shutil.ignore_patterns("*.pyc"))
    for edits in EDITS.values():
        for file, before, line in edits:
            path = place / file
            text = path.read_text()
            assert text.count(before) == 1, (file, before)
            path.write_text(text.replace(before, line + before))
    small_dataset.build(place / "data")
    return place


@pytest.fixture(scope="module")
def run(place, forks, tmp_path_factory):
    """Runs a command of the copy."""
    paths = os.pathsep.join(map(str, (place, ROOT)))
    folder = tmp_path_factory.mktemp("forks")
    extended = Forks(folder, forks.environment | {"PYTHONPATH": paths}, place)
    yield lambda *words: extended.run(words[0], words[1:], place)
    extended.end()


def train(run, place, model, *flags):
    workdir = place / model
    done = run(
        "trainer.main", f"--model={model}", "--recipe=seed", "--dataset=small_images", "--epochs=2",
        "--weights=none", f"--data_dir={place}/data", f"--workdir={workdir}", *flags,
    )  # fmt: skip
    assert done.code == 0, done.said
    rows = (workdir / "metrics.jsonl").read_text().splitlines()
    assert [json.loads(row)["epoch"] for row in rows] == [1, 2]
    return keras.models.load_model(workdir / "model.keras"), json.loads(
        (workdir / "config.json").read_text()
    )


def test_settings_are_flags_fields_of_config_json_and_obeyed(run, place):
    asked = {"inverting": 0.5, "units": 6, "beta": 0.5}
    model, content = train(
        run, place, "lenet", *(f"--{name}={value}" for name, value in asked.items())
    )
    assert asked.items() <= content["config"].items()
    assert model.get_layer("dense").units == 6
    (summary,) = (place / "lenet/tensorboard").glob("events.*")
    assert all(name.encode() in summary.read_bytes() for name in asked)


def test_settings_stand_in_the_help_with_their_defaults(run):
    said = " ".join(run("trainer.main", "--help").stdout.split())
    assert "--inverting=NUMBER Probability to invert. (default: seed 0.0, strong 0.0)" in said
    assert "--units=INTEGER Units of the dense layer. (default: seed 128, strong 128)" in said
    assert "--beta=NUMBER First momentum of adam. (default: seed 0.9, strong 0.9)" in said
    assert "--model=lenet|tiny|" in said


def test_values_that_make_no_sense_are_refused(run, place):
    data = ["--dataset=small_images", f"--data_dir={place}/data", "--weights=none"]
    done = run("trainer.main", "--model=lenet", "--inverting=1.5", *data)
    assert done.code == 2
    assert "--inverting=1.5: expected 0 or more and below 1" in done.stderr
    done = run("trainer.main", "--model=tiny", "--units=6", *data)
    assert done.code == 2
    assert "--units=6 goes with --model=lenet, not with --model=tiny" in done.stderr


def test_a_backbone_is_trained(run, place):
    model, content = train(run, place, "tiny")
    assert content["config"]["model"] == model.name == "tiny"
    assert content["config"]["train_backbone"]


OBEYED = """
import numpy as np, tensorflow as tf
from trainer.data import augment
from trainer.training.optimizer import Optimization, build_optimizer
assert build_optimizer(Optimization(beta=0.5)).beta_1 == 0.5
images = tf.constant(np.arange(64, dtype=np.uint8).reshape(1, 8, 8, 1))
draws = tf.zeros([1, augment.NUM_DRAWS])
changed = augment.augment(images, draws, augment.Augmentation(inverting=0.5))
assert (changed.numpy() == 255 - images.numpy()).all()
"""


def test_an_augmentation_and_an_optimizer_obey_theirs(run):
    done = run("-c", OBEYED)
    assert done.code == 0, done.said


@pytest.mark.parametrize("name", EDITS)
def test_the_pages_name_the_files_to_edit(name):
    page = PAGE.read_text()
    (row,) = [
        line
        for line in page.splitlines()
        if line.startswith(("| a ", "| an ")) and name in line.split("|")[1]
    ]
    for file in {file for file, _, _ in EDITS[name]}:
        assert f"`{file.removeprefix('trainer/')}`" in row


def test_the_example_of_the_page_is_the_edit_that_is_tried():
    page = PAGE.read_text()
    assert all(
        f"```python\n{line.strip(chr(10))}\n```" in page for _, _, line in EDITS["augmentation"]
    )
