"""Loads the training features of a network from its run, or fits them."""

import pathlib
from collections.abc import Callable
from typing import Any

import numpy as np
from absl import logging

from trainer.best_model import BestModel
from trainer.data.dataset import BuiltDataset
from trainer.data.records import Records, read_batches
from trainer.data.selection import select
from trainer.data.source_mix import as_trained_on
from trainer.errors import Unreadable, UserError
from trainer.evaluation.predictions import predictor_with_features
from trainer.evaluation.several_runs import one_dataset, splits_of
from trainer.evaluation.training_features import TrainingFeatures, fit, load, save
from trainer.progress_line import ProgressLine

# Maximum number of radiographs per split; larger splits are sampled randomly.
MOST = 5_000
_LEFT_OUT = "the flag of radiographs unlike the training's is left out"


def training_features(
    content: dict[str, Any],
    best: BestModel,
    directory: pathlib.Path,
    data_dir: str | None,
    *,
    keeps: bool = True,
) -> TrainingFeatures | None:
    """Loads the training features stored beside a model, or fits and stores them.

    Args:
        content: the config.json of the model's run.
        best: the model.
        directory: directory of the run or of an exported model, which stores the features.
        data_dir: directory of the run's dataset; None: the one recorded by the run.
        keeps: whether to store newly fitted features.

    Returns:
        The training features; None if the dataset no longer exists, which is logged.

    Raises:
        Unreadable: the features or the dataset cannot be read now.
        Damaged: the stored features are damaged.
    """
    kept = load(directory, best.sha256)
    if kept:
        return kept
    try:
        train, validation = splits_of({"": content})
        dataset = one_dataset({str(directory): content}, data_dir)
        drawn = as_trained_on(dataset, content["config"])
        fitted = fit_on(drawn, train, validation, best, content["config"].get("seed", 0))
    except Unreadable:
        raise
    except UserError as error:
        logging.warning("%s: %s", _LEFT_OUT, error)
        return None
    if keeps:
        _keep(fitted, directory, dataset, content)
    return fitted


def fit_on(
    dataset: BuiltDataset, train: str, validation: str, best: BestModel, seed: int
) -> TrainingFeatures:
    """Fits on up to `MOST` training radiographs, with a threshold from as many validation ones.

    Args:
        dataset: a built dataset, with the run's source mix.
        train: its training split.
        validation: its validation split.
        best: the model.
        seed: seed of the random subset.

    Returns:
        The training features.

    Raises:
        UserError: a split does not exist or cannot be read.
    """
    features_of = predictor_with_features(best.network, flip=False)
    parts = [select(dataset, split).sample(MOST, seed) for split in (train, validation)]
    features = [
        _features(dataset, split, records, features_of)
        for split, records in zip((train, validation), parts, strict=True)
    ]
    return fit(features[0], parts[0].index["label"], features[1], best.sha256)


def _features(
    dataset: BuiltDataset, split: str, records: Records, features_of: Callable
) -> np.ndarray:
    progress = ProgressLine(f"features of {split}", len(records), 1)
    parts: list[np.ndarray] = []
    with dataset.reading(split):
        for batch in read_batches(dataset, records, ["image"]):
            parts.append(features_of(batch["image"])[1])
            progress.show(sum(map(len, parts)))
    progress.clear()
    return np.concatenate(parts)


def _keep(
    fitted: TrainingFeatures,
    directory: pathlib.Path,
    dataset: BuiltDataset,
    content: dict[str, Any],
) -> None:
    """Stores the features in the directory, unless the dataset's build differs from the run's."""
    if dataset.changed_splits(content["dataset"].get("digests", {})):
        logging.warning("%s: the fitted training features are of another dataset: not kept",
                        directory)  # fmt: skip
        return
    try:
        save(fitted, directory)
    except UserError as error:
        logging.warning("the fitted training features are not kept: %s", error)
