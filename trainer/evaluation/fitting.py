"""Finds the training features of a network: those that its run has kept, or fitted anew."""

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

# Training and validation radiographs that are read: a random subset of larger splits.
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
    """Takes what is kept beside a model, or fits and keeps it.

    Args:
        content: the config.json of the model's run.
        best: the model.
        directory: where it is kept: of the run, or of an exported model.
        data_dir: where the run's dataset lies; None: where the run found it.
        keeps: whether what was fitted is kept.

    Returns:
        What was fitted; None, which the log explains, where there is no such dataset any more.

    Raises:
        Unreadable: it cannot be read now.
        Damaged: what was kept is not whole.
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
    """Fits on `MOST` training radiographs, with the threshold of as many of the validation split.

    Args:
        dataset: a built dataset, with the source mix of the run.
        train: its training split.
        validation: its validation split.
        best: the model.
        seed: of the random subset.

    Returns:
        What was fitted.

    Raises:
        UserError: there is no such split, or it cannot be read.
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
    """Writes it to the directory, unless the dataset is another build than the run's own."""
    if dataset.changed_splits(content["dataset"].get("digests", {})):
        logging.warning("%s: the fitted training features are of another dataset: not kept",
                        directory)  # fmt: skip
        return
    try:
        save(fitted, directory)
    except UserError as error:
        logging.warning("the fitted training features are not kept: %s", error)
