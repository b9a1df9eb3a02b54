"""The temperature that mends probabilities which are too sure, or not sure enough."""

import numpy as np
from scipy import optimize, special

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
    return special.softmax(logits(probabilities) / temperature, axis=1)


def logits(probabilities: np.ndarray) -> np.ndarray:
    """Logarithms of probabilities, finite where these are 0: logits up to a constant.

    Args:
        probabilities: `[examples, classes] float`.

    Returns:
        `[examples, classes] float`.
    """
    # The smallest normal float32: what a softmax in float32 can just tell from 0.
    return np.log(np.maximum(probabilities, np.finfo(np.float32).tiny))


def _log_loss(labels: np.ndarray, probabilities: np.ndarray, temperature: float) -> float:
    log_shares = special.log_softmax(logits(probabilities) / temperature, axis=1)
    return -float(log_shares[np.arange(len(labels)), labels].mean())
