"""Values chosen on the validation split, for predictions without labels."""

import dataclasses
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
from absl import logging

from trainer.data.examples import load_split
from trainer.errors import Unreadable, UserError
from trainer.evaluation.several_runs import one_dataset, splits_of
from trainer.evaluation.tuning import keep, tune
from trainer.prediction.network import Network
from trainer.run import Run


@dataclasses.dataclass(frozen=True)
class Choices:
    """Values chosen on the validation split.

    Attributes:
        temperature: temperature of the calibrated probabilities; None if there is none.
        threshold: probability of the positive class from which the decision is positive; None if
            there is none.
        quantiles: quantile of the prediction sets by class (None: infinite); None if there are
            none.
    """

    temperature: float | None = None
    threshold: float | None = None
    quantiles: dict[str, float | None] | None = None


def choose(
    networks: Mapping[str, Network],
    predict: Callable[[np.ndarray], tuple[np.ndarray, np.ndarray]],
    positive_class: str,
    data_dir: str | None,
) -> Choices:
    """Loads the values stored by an evaluation of the run, or computes them in the same way.

    Args:
        networks: the networks by name.
        predict: the result of `mean_predictor` for the networks.
        positive_class: the class of the decision.
        data_dir: directory of their dataset; None: the one recorded by the runs.

    Returns:
        The chosen values; empty, which is logged, if the split no longer exists.

    Raises:
        UserError: the dataset is not in `data_dir`, or cannot be read now.
    """
    first, *others = networks.values()
    alone = first.run if not others else None
    kept = alone.read_calibration(first.best.sha256) if alone else None
    # Runs evaluated by an earlier version have no quantiles.
    is_whole = kept is not None and "conformal" in kept
    tuning = kept if is_whole else _choose_anew(networks, predict, data_dir, alone, kept)
    if tuning is None:
        return Choices()
    threshold = tuning["thresholds"][positive_class]
    if threshold is None:
        logging.warning("decisions are left out: the validation split has no %s", positive_class)
    quantiles = tuning["conformal"]["quantiles"] if "conformal" in tuning else None
    return Choices(tuning["temperature"], threshold, quantiles)


def _choose_anew(
    networks: Mapping[str, Network],
    predict: Callable[[np.ndarray], tuple[np.ndarray, np.ndarray]],
    data_dir: str | None,
    alone: Run | None,
    kept: dict[str, Any] | None,
) -> dict[str, Any] | None:
    """Chooses on the validation split, storing a single run's values; else uses stored ones."""
    contents = {name: network.content for name, network in networks.items()}
    try:
        _, split = splits_of(contents)
        dataset = one_dataset(contents, data_dir)
        validation = load_split(dataset, split)
    except UserError as error:
        if data_dir or isinstance(error, Unreadable):
            raise
        others = "" if kept else "calibrated probabilities, decisions and "
        logging.warning("%sprediction sets are left out: %s", others, error)
        return kept
    tuning = tune(predict(validation.images)[0], validation, split)
    if alone:
        (network,) = networks.values()
        keep(tuning, alone, network.best.sha256, dataset.digests())
    return tuning
