"""Studies of barely trained networks, as written by trainer.study."""

import functools
import itertools
import json
import pathlib

import keras
import numpy as np

from tests.support.small_dataset import SIDE
from trainer import models
from trainer.models.taps import LOGITS, Taps
from trainer.run import Run

CLASSES = ["a", "b", "c", "d"]


def write_study(directory, data_dir, configurations, seeds, folds, *, undone=(), **splits):
    """Writes study.json and the runs of small_images.

    Args:
        directory: directory of the study.
        data_dir: data directory used by `small_dataset.build`.
        configurations: flags by configuration name.
        seeds: seeds, or None.
        folds: number of folds, or None.
        undone: names of failed runs.
        **splits: `train_split` and `validation_split` of runs without folds.

    Returns:
        The content of study.json.
    """
    runs = []
    numbers = [None] if folds is None else list(range(folds))
    for name, seed, fold in itertools.product(configurations, seeds or [None], numbers):
        parts = [name] + [f"seed={seed}"] * (seeds is not None)
        config = dict(splits)
        if fold is not None:
            parts.append(f"fold={fold}of{folds}")
            config = _fold(fold, folds)
        run = ",".join(parts)
        runs.append({"directory": run, "configuration": name, "seed": seed, "fold": fold})
        state = "failed" if run in undone else "done"
        _write_run(pathlib.Path(directory, run), data_dir, seed or 0, config, state)
    named = [{"name": name, "values": values} for name, values in configurations.items()]
    content = {"plan": "a plan", "seeds": seeds, "folds": folds, "configurations": named}
    content["runs"] = runs
    pathlib.Path(directory, "study.json").write_text(json.dumps(content))
    return content


def _fold(fold, folds):
    """Returns the settings of a run that holds out one of at least three folds."""
    validation = (fold + 1) % folds
    others = [str(one) for one in range(folds) if one not in (fold, validation)]
    return {
        "fold": f"{fold}/{folds}",
        "train_split": f"fold{'s' * (len(others) > 1)} {','.join(others)} of {folds}",
        "validation_split": f"fold {validation} of {folds}",
    }


@functools.cache
def _features():
    """Returns a random network, its last layer's inputs for some images, and their labels."""
    keras.utils.set_random_seed(0)
    model = models.build("lenet", image_shape=(SIDE, SIDE, 1), num_classes=len(CLASSES))
    generator, labels = np.random.default_rng(0), np.arange(80) % len(CLASSES)
    images = generator.integers(0, 60, (80, SIDE, SIDE, 1)) + 40 * labels[:, None, None, None]
    last = keras.Model(model.input, Taps(model).features)
    features = last.predict(images.astype(np.uint8), verbose=0)
    return model, features / np.abs(features).max(), labels


def _network(seed):
    """Fits the last layer to the images, of which each seed mislabels different ones."""
    model, features, labels = _features()
    generator = np.random.default_rng(seed)
    said = np.where(generator.random(80) < 0.4, generator.permutation(labels), labels)
    gram = features.T @ features + 0.01 * np.eye(features.shape[1])
    weights = np.linalg.solve(gram, features.T @ np.eye(len(CLASSES))[said])
    model.get_layer(LOGITS).set_weights([weights / 50, np.zeros(len(CLASSES))])
    return model


def _write_run(workdir, data_dir, seed, config, state):
    workdir.mkdir(parents=True)
    run = Run(workdir)
    # Names of different length give different weights.
    model = _network(seed + 100 * len(workdir.name))
    settings = {"model": "lenet", "dataset": "small_images", "data_dir": str(data_dir)}
    run.write_config({
        "config": settings | {"seed": seed} | config,
        "dataset": {
            "class_names": CLASSES, "image_shape": [SIDE, SIDE, 1],
            "train_examples": 60, "validation_examples": 20,
        },
        "parameters": {"total": model.count_params(), "trainable": model.count_params()},
    })  # fmt: skip
    run.save_model(model)
    run.write_status(state, 1, 1.0)
