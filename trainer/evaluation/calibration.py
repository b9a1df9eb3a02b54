"""Calibration of predicted probabilities."""

import dataclasses
import itertools
from collections.abc import Sequence
from typing import Annotated

import numpy as np

from trainer.evaluation import calibration_error
from trainer.evaluation.calibration_error import CalibrationError, Forecast, calibration_errors
from trainer.evaluation.json_content import INLINE
from trainer.evaluation.metrics import BRIER_SCORE, LOG_LOSS
from trainer.evaluation.recalibration import log_odds, recalibrate
from trainer.evaluation.resampling import Resampling
from trainer.evaluation.statistics import Numbers, with_intervals
from trainer.evaluation.tasks import Multiclass
from trainer.evaluation.temperature import apply_temperature, logits

BINS = 15


@dataclasses.dataclass(frozen=True)
class Bin:
    """A bin of a reliability diagram, which includes its upper end.

    Attributes:
        low: lower end of the bin.
        high: upper end of the bin.
        count: number of examples in the bin.
        confidence: mean probability of the predicted classes, or of the diagram's class; None for
            an empty bin.
        accuracy: share of correct predictions, or of examples of the diagram's class; None for an
            empty bin.
    """

    low: float
    high: float
    count: int
    confidence: float | None
    accuracy: float | None


@dataclasses.dataclass(frozen=True)
class CalibrationState:
    """Calibration measures of a set of probabilities.

    Attributes:
        ece: expected calibration error (ECE) of the predicted class.
        debiased: `debiased_error`, the root-mean-square calibration error corrected for the bias
            due to chance.
        log_loss: mean log loss.
        brier_score: Brier score.
        bins: bins of the reliability diagram.
    """

    ece: float
    debiased: Annotated[Numbers, INLINE]
    log_loss: float
    brier_score: float
    bins: list[Bin]


@dataclasses.dataclass(frozen=True)
class ClassCalibration:
    """Calibration of one class' probabilities, before temperature scaling.

    Attributes:
        mean_predicted: mean probability of the class.
        observed_share: share of the examples that belong to the class.
        numbers: `slope`, `intercept` and `debiased_error`.
        bins: bins of the class' reliability diagram, with about equal numbers of examples.
    """

    mean_predicted: float
    observed_share: float
    numbers: Annotated[Numbers, INLINE]
    bins: list[Bin]


@dataclasses.dataclass(frozen=True)
class Calibration:
    """Calibration of a model.

    Attributes:
        temperature: temperature fitted on other examples; None if there is none.
        before: calibration before temperature scaling.
        after: calibration after temperature scaling; None without a temperature.
        per_class: calibration of each class against the rest, before temperature scaling.
    """

    temperature: float | None
    before: CalibrationState
    after: CalibrationState | None
    per_class: dict[str, ClassCalibration]


def reliability(labels: np.ndarray, probabilities: np.ndarray) -> list[Bin]:
    """Computes the bins of a reliability diagram, by the probability of the predicted class.

    Args:
        labels: `[examples] int`.
        probabilities: `[examples, classes] float`.

    Returns:
        `BINS` bins of equal width.
    """
    edges = np.linspace(0, 1, BINS + 1)
    confidence = probabilities.max(axis=1)
    bins = np.digitize(confidence, edges[1:-1], right=True)
    right = probabilities.argmax(axis=1) == labels
    return [
        _bin(*ends, bins == row, confidence, right)
        for row, ends in enumerate(itertools.pairwise(edges))
    ]


def expected_calibration_error(bins: list[Bin]) -> float:
    """Computes the mean gap between confidence and accuracy, weighted by count (Naeini, 2015).

    Args:
        bins: the result of `reliability`.

    Returns:
        The error, 0 to 1.
    """
    filled = [bin_ for bin_ in bins if bin_.count]
    distances = [abs(bin_.confidence - bin_.accuracy) for bin_ in filled]
    return float(np.average(distances, weights=[bin_.count for bin_ in filled]))


def evaluate_calibration(
    task: Multiclass,
    class_names: Sequence[str],
    temperature: float | None,
    resampling: Resampling,
) -> Calibration:
    """Evaluates probabilities before and after temperature scaling.

    Args:
        task: labels and unscaled probabilities.
        class_names: names of the classes.
        temperature: temperature fitted on other examples; None if there is none.
        resampling: bootstrap resamples of the examples.

    Returns:
        The calibration before and after scaling, and of each class.
    """
    states = [task]
    if temperature is not None:
        softened = apply_temperature(task.probabilities, temperature)
        states.append(Multiclass(task.labels, softened))
    classes = [task.one_against_rest(index) for index in range(task.num_classes)]
    errors = calibration_errors(
        [forecast_of_prediction(state) for state in states]
        + [Forecast(of_class.scores, of_class.labels) for of_class in classes],
        resampling,
    )
    found = [_state(state, error) for state, error in zip(states, errors, strict=False)]
    return Calibration(
        temperature,
        before=found[0],
        after=found[1] if temperature is not None else None,
        per_class={
            name: _of_class(task, index, error, resampling.group_of)
            for index, (name, error) in enumerate(
                zip(class_names, errors[len(states) :], strict=True)
            )
        },
    )


def forecast_of_prediction(task: Multiclass) -> Forecast:
    """Returns the probability of the predicted class, and whether the prediction is correct."""
    return Forecast(task.probabilities.max(axis=1), task.right)


def _state(task: Multiclass, error: CalibrationError) -> CalibrationState:
    bins = reliability(task.labels, task.probabilities)
    return CalibrationState(
        ece=expected_calibration_error(bins),
        debiased=_numbers(error),
        log_loss=LOG_LOSS.compute(task),
        brier_score=BRIER_SCORE.compute(task),
        bins=bins,
    )


def _numbers(error: CalibrationError) -> Numbers:
    name = calibration_error.NAME
    notes = {name: error.why} if error.why else {}
    return with_intervals({name: error.value}, notes, {name: error.samples}, {})


def _of_class(
    task: Multiclass, index: int, error: CalibrationError, groups: np.ndarray
) -> ClassCalibration:
    one = task.one_against_rest(index)
    odds = log_odds(logits(task.probabilities), index)
    fitted, debiased = recalibrate(one.labels, odds, groups), _numbers(error)
    return ClassCalibration(
        mean_predicted=float(one.scores.mean()),
        observed_share=float(one.labels.mean()),
        numbers=Numbers(
            fitted.values | debiased.values,
            fitted.why | debiased.why,
            fitted.intervals | debiased.intervals,
        ),
        bins=[
            _bin(min(one.scores[inside]), max(one.scores[inside]), inside, one.scores, one.labels)
            for index in (() if error.bins is None else np.unique(error.bins))
            for inside in [error.bins == index]
        ],
    )


def _bin(
    low: float, high: float, inside: np.ndarray, probability: np.ndarray, occurred: np.ndarray
) -> Bin:
    return Bin(
        low=float(low),
        high=float(high),
        count=int(inside.sum()),
        confidence=float(probability[inside].mean()) if inside.any() else None,
        accuracy=float(occurred[inside].mean()) if inside.any() else None,
    )
