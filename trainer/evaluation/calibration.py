"""Whether probabilities mean what they say, and the temperature that mends them."""

from typing import Any

import numpy as np
from scipy import optimize, special

from trainer.evaluation.statistics import classification_statistics

BINS = 15
# Temperatures that are looked at; one at an end means that validation was all right or all wrong.
_RANGE = (0.01, 100.0)


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


def reliability(labels: np.ndarray, probabilities: np.ndarray) -> list[dict[str, Any]]:
    """The bins of a reliability diagram, by the probability of the predicted class.

    Args:
        labels: `[examples] int`.
        probabilities: `[examples, classes] float`.

    Returns:
        For each of `BINS` bins of equal width `low`, `high`, `count`, and the mean `confidence`
        and the `accuracy` in it, None where it is empty. A bin includes its upper end.
    """
    confidence = probabilities.max(axis=1)
    right = probabilities.argmax(axis=1) == labels
    edges = np.linspace(0, 1, BINS + 1)
    bins = np.digitize(confidence, edges[1:-1], right=True)
    return [
        {
            "low": float(edges[index]),
            "high": float(edges[index + 1]),
            "count": int(inside.sum()),
            "confidence": float(confidence[inside].mean()) if inside.any() else None,
            "accuracy": float(right[inside].mean()) if inside.any() else None,
        }
        for index in range(BINS)
        for inside in [bins == index]
    ]


def expected_calibration_error(bins: list[dict[str, Any]]) -> float:
    """Mean distance of confidence and accuracy over the bins, by their counts (Naeini, 2015).

    Args:
        bins: what `reliability` returned.

    Returns:
        The error, 0 to 1.
    """
    filled = [bin_ for bin_ in bins if bin_["count"]]
    distances = [abs(bin_["confidence"] - bin_["accuracy"]) for bin_ in filled]
    return float(np.average(distances, weights=[bin_["count"] for bin_ in filled]))


def calibration(
    labels: np.ndarray,
    probabilities: np.ndarray,
    class_names: tuple[str, ...],
    temperature: float | None,
) -> dict[str, Any]:
    """How well calibrated the probabilities are, as they come and after the temperature.

    Args:
        labels: `[examples] int`.
        probabilities: `[examples, classes] float`, as they come.
        class_names: names of the classes.
        temperature: fitted elsewhere; None if there is none.

    Returns:
        `temperature`, and `before` and `after` with `ece`, `log_loss`, `brier_score` and `bins`;
        `after` is None without a temperature.
    """

    def state(shares: np.ndarray) -> dict[str, Any]:
        statistics = classification_statistics(labels, shares, class_names)
        bins = reliability(labels, shares)
        losses = {name: statistics[name] for name in ("log_loss", "brier_score")}
        return {"ece": expected_calibration_error(bins), **losses, "bins": bins}

    scaled = None if temperature is None else apply_temperature(probabilities, temperature)
    return {
        "temperature": temperature,
        "before": state(probabilities),
        "after": None if scaled is None else state(scaled),
    }


def _logits(probabilities: np.ndarray) -> np.ndarray:
    # The smallest normal float32: what a softmax in float32 can just tell from 0.
    return np.log(np.maximum(probabilities, np.finfo(np.float32).tiny))


def _log_loss(labels: np.ndarray, probabilities: np.ndarray, temperature: float) -> float:
    log_shares = special.log_softmax(_logits(probabilities) / temperature, axis=1)
    return -float(log_shares[np.arange(len(labels)), labels].mean())
