"""Temperature scaling of over- or underconfident probabilities."""

import numpy as np
from scipy import optimize, special

# Search range; a result at an end means that all validation examples were correct, or all wrong.
_RANGE = (0.01, 100.0)


def fit_temperature(labels: np.ndarray, probabilities: np.ndarray) -> float:
    """Fits the temperature with the lowest log loss (Guo et al., 2017).

    Args:
        labels: `[examples] int`.
        probabilities: `[examples, classes] float`.

    Returns:
        The temperature, above 1 if the model is overconfident.
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
        `[examples, classes] float`, the scaled probabilities.
    """
    return special.softmax(logits(probabilities) / temperature, axis=1)


def logits(probabilities: np.ndarray) -> np.ndarray:
    """Computes logarithms of probabilities, finite even for 0: logits up to a constant.

    Args:
        probabilities: `[examples, classes] float`.

    Returns:
        `[examples, classes] float`.
    """
    # The smallest normal float32: the smallest value a float32 softmax can distinguish from 0.
    return np.log(np.maximum(probabilities, np.finfo(np.float32).tiny))


def _log_loss(labels: np.ndarray, probabilities: np.ndarray, temperature: float) -> float:
    log_shares = special.log_softmax(logits(probabilities) / temperature, axis=1)
    return -float(log_shares[np.arange(len(labels)), labels].mean())
