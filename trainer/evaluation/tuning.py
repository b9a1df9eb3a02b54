"""What is chosen on the validation split and only used elsewhere: temperature and thresholds."""

from typing import Any

import numpy as np

from trainer.data.cases import Cases
from trainer.evaluation.calibration import calibration, fit_temperature
from trainer.evaluation.operating_point import SENSITIVITY, choose_threshold


def tune(probabilities: np.ndarray, validation: Cases, split: str) -> dict[str, Any]:
    """Chooses a temperature, and a threshold for each class.

    Args:
        probabilities: `[examples, classes] float` for the validation split.
        validation: that split.
        split: its name.

    Returns:
        The content of a run's calibration.json, but for the model's digest: `split`,
        `split_digest`, `examples`, `temperature`, `log_loss_before` and `log_loss_after` on that
        split, `sensitivity`, and `thresholds`, class to the highest one that reaches it there
        (None if the class does not occur).
    """
    labels, names = validation.labels, validation.class_names
    temperature = fit_temperature(labels, probabilities)
    states = calibration(labels, probabilities, names, temperature)
    return {
        "split": split,
        "split_digest": validation.digest,
        "examples": len(labels),
        "temperature": temperature,
        "log_loss_before": states["before"]["log_loss"],
        "log_loss_after": states["after"]["log_loss"],
        "sensitivity": SENSITIVITY,
        "thresholds": {
            name: choose_threshold(labels == index, probabilities[:, index])
            for index, name in enumerate(names)
        },
    }
