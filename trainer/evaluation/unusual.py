"""Counts the evaluated radiographs flagged as unlike those of the training."""

import dataclasses
from typing import Annotated

import numpy as np
from statsmodels.stats.proportion import proportion_confint

from trainer.data.examples import Examples
from trainer.evaluation.intervals import CONFIDENCE, Interval
from trainer.evaluation.json_content import INLINE
from trainer.evaluation.resampling import Resampling
from trainer.evaluation.training_features import PASSING, TrainingFeatures

NOT_KNOWN = (
    "the run keeps no training features, and its dataset, with its training and validation "
    "splits, was not found to fit them on"
)
NOT_SHARED = "the models of an ensemble have no features in common"


@dataclasses.dataclass(frozen=True)
class Flagged:
    """Count of flagged radiographs in a set.

    Attributes:
        examples: number of radiographs.
        flagged: number of radiographs beyond the threshold.
        share: share of flagged radiographs.
        interval: exact binomial interval of the share (Clopper and Pearson, 1934), with one trial
            per patient or group of copies.
    """

    examples: int
    flagged: int
    share: float
    interval: Interval


@dataclasses.dataclass(frozen=True)
class Unusual:
    """Flagged radiographs of an evaluation.

    Attributes:
        all: count over all radiographs.
        by_class: count by class.
        by_source: count by source; empty if unknown.
        passing: the share of validation radiographs that are not flagged.
        train_examples: number of training radiographs used for the comparison.
        validation_examples: number of validation radiographs used for the threshold.
    """

    all: Annotated[Flagged, INLINE]
    by_class: dict[str, Flagged]
    by_source: dict[str, Flagged]
    passing: float
    train_examples: int
    validation_examples: int


def evaluate_unusual(
    features: np.ndarray, fitted: TrainingFeatures, examples: Examples, resampling: Resampling
) -> Unusual:
    """Counts the flagged radiographs.

    Args:
        features: `[examples, features] float`.
        fitted: the training features.
        examples: the evaluated radiographs.
        resampling: bootstrap resamples of the radiographs, which define their groups.

    Returns:
        The counts over all radiographs, and of each class and source that occurs.
    """
    is_flagged = fitted.distance(features) > 1

    def of(rows: np.ndarray) -> Flagged:
        return flagged(is_flagged[rows], resampling.part(rows).independent_share)

    sources = examples.sources if examples.sources is not None else np.array([])
    return Unusual(
        all=flagged(is_flagged, resampling.independent_share),
        by_class={
            examples.class_names[label]: of(examples.labels == label)
            for label in np.unique(examples.labels)
        },
        by_source={str(source): of(sources == source) for source in np.unique(sources)},
        passing=PASSING,
        train_examples=fitted.train_examples,
        validation_examples=fitted.validation_examples,
    )


def flagged(is_flagged: np.ndarray, independent_share: float = 1.0) -> Flagged:
    """Counts the flagged radiographs of a set.

    Args:
        is_flagged: `[examples] bool`.
        independent_share: number of groups (patients or copies) per example.

    Returns:
        The count, its share and its interval.
    """
    count, examples = int(is_flagged.sum()), len(is_flagged)
    low, high = proportion_confint(
        count * independent_share, examples * independent_share, 1 - CONFIDENCE, method="beta"
    )
    return Flagged(examples, count, count / examples, (float(low), float(high)))
