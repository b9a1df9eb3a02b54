"""Whether probabilities mean what they say, and the temperature that mends them."""

import dataclasses

import numpy as np
from scipy import optimize, special

from trainer.evaluation.metrics import BRIER_SCORE, LOG_LOSS
from trainer.evaluation.tasks import Multiclass

BINS = 15
# Temperatures that are looked at; one at an end means that validation was all right or all wrong.
_RANGE = (0.01, 100.0)


@dataclasses.dataclass(frozen=True)
class Bin:
    """A bin of a reliability diagram, which includes its upper end.

    Attributes:
        low: its lower end.
        high: its upper end.
        count: how many examples are in it.
        confidence: mean probability of their predicted classes; None where there are none.
        accuracy: share of them that are right; None likewise.
    """

    low: float
    high: float
    count: int
    confidence: float | None
    accuracy: float | None


@dataclasses.dataclass(frozen=True)
class CalibrationState:
    """How well calibrated some probabilities are.

    Attributes:
        ece: the expected calibration error.
        log_loss: the metric of this name.
        brier_score: likewise.
        bins: of the reliability diagram.
    """

    ece: float
    log_loss: float
    brier_score: float
    bins: list[Bin]


@dataclasses.dataclass(frozen=True)
class Calibration:
    """How well calibrated a model is.

    Attributes:
        temperature: fitted elsewhere; None if there is none.
        before: the probabilities as they come.
        after: the probabilities after the temperature; None without one.
    """

    temperature: float | None
    before: CalibrationState
    after: CalibrationState | None


def fit_temperature(labels: np.ndarray, probabilities: np.ndarray) -> float:
    """The temperature with the lowest log loss (Guo et al., 2017).

    Args:
        labels: `[examples] int`.
        probabilities: `[examples, classes] float`.

    Returns:
        The temperature: above 1 if the model is too sure of itself.
    """

    def loss(log_temperature: float) -> float:
        return _log_loss(labels, probabilities, np.exp(log_temperature))

    return float(np.exp(optimize.minimize_scalar(loss, bounds=np.log(_RANGE), method="bounded").x))


def apply_temperature(probabilities: np.ndarray, temperature: float) -> np.ndarray:
    """Divides the logits by a temperature.

    Args:
        probabilities: `[examples, classes] float`; their logarithms are the logits, up to a
            constant that the softmax removes.
        temperature: a positive number.

    Returns:
        `[examples, classes] float`, the probabilities after it.
    """
    return special.softmax(_logits(probabilities) / temperature, axis=1)


def reliability(labels: np.ndarray, probabilities: np.ndarray) -> list[Bin]:
    """The bins of a reliability diagram, by the probability of the predicted class.

    Args:
        labels: `[examples] int`.
        probabilities: `[examples, classes] float`.

    Returns:
        `BINS` bins of equal width.
    """
    confidence = probabilities.max(axis=1)
    right = probabilities.argmax(axis=1) == labels
    edges = np.linspace(0, 1, BINS + 1)
    bins = np.digitize(confidence, edges[1:-1], right=True)
    return [
        Bin(
            low=float(edges[index]),
            high=float(edges[index + 1]),
            count=int(inside.sum()),
            confidence=float(confidence[inside].mean()) if inside.any() else None,
            accuracy=float(right[inside].mean()) if inside.any() else None,
        )
        for index in range(BINS)
        for inside in [bins == index]
    ]


def expected_calibration_error(bins: list[Bin]) -> float:
    """Mean distance of confidence and accuracy over the bins, by their counts (Naeini, 2015).

    Args:
        bins: what `reliability` returned.

    Returns:
        The error, 0 to 1.
    """
    filled = [bin_ for bin_ in bins if bin_.count]
    distances = [abs(bin_.confidence - bin_.accuracy) for bin_ in filled]
    return float(np.average(distances, weights=[bin_.count for bin_ in filled]))


def evaluate_calibration(
    labels: np.ndarray, probabilities: np.ndarray, temperature: float | None
) -> Calibration:
    """Evaluates the probabilities as they come and after the temperature.

    Args:
        labels: `[examples] int`.
        probabilities: `[examples, classes] float`, as they come.
        temperature: fitted elsewhere; None if there is none.

    Returns:
        Both states.
    """
    after = None
    if temperature is not None:
        after = _state(Multiclass(labels, apply_temperature(probabilities, temperature)))
    return Calibration(temperature, _state(Multiclass(labels, probabilities)), after)


def _state(task: Multiclass) -> CalibrationState:
    bins = reliability(task.labels, task.probabilities)
    return CalibrationState(
        ece=expected_calibration_error(bins),
        log_loss=LOG_LOSS.compute(task),
        brier_score=BRIER_SCORE.compute(task),
        bins=bins,
    )


def _logits(probabilities: np.ndarray) -> np.ndarray:
    # The smallest normal float32: what a softmax in float32 can just tell from 0.
    return np.log(np.maximum(probabilities, np.finfo(np.float32).tiny))


def _log_loss(labels: np.ndarray, probabilities: np.ndarray, temperature: float) -> float:
    log_shares = special.log_softmax(_logits(probabilities) / temperature, axis=1)
    return -float(log_shares[np.arange(len(labels)), labels].mean())
