"""How many of the evaluated radiographs are flagged as unlike those of the training."""

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
    """How many of some radiographs are flagged.

    Attributes:
        examples: how many there are.
        flagged: how many are farther off than the threshold.
        share: of the two.
        interval: its exact binomial interval (Clopper and Pearson, 1934), of as many trials as
            there are patients or pictures.
    """

    examples: int
    flagged: int
    share: float
    interval: Interval


@dataclasses.dataclass(frozen=True)
class Unusual:
    """What is flagged of the evaluated radiographs.

    Attributes:
        all: of all of them.
        by_class: class to those of it.
        by_source: source to those of it; empty if nobody knows.
        passing: the share of the validation radiographs that is not flagged.
        train_examples: how many training radiographs they were compared with.
        validation_examples: how many the threshold was chosen on.
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
    """Counts what is flagged.

    Args:
        features: `[examples, features] float`.
        fitted: on the training.
        examples: the radiographs.
        resampling: of them, which knows their groups.

    Returns:
        All of them, and those of each class and source that occurs.
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
    """Counts what is flagged of some radiographs.

    Args:
        is_flagged: `[examples] bool`.
        independent_share: groups of copies or of one patient for each example.

    Returns:
        The count, its share and its interval.
    """
    count, examples = int(is_flagged.sum()), len(is_flagged)
    low, high = proportion_confint(
        count * independent_share, examples * independent_share, 1 - CONFIDENCE, method="beta"
    )
    return Flagged(examples, count, count / examples, (float(low), float(high)))
