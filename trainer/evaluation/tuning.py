"""Values fitted on the validation split and used elsewhere.

These are the temperature, the thresholds and the quantiles of prediction sets.
"""

from collections.abc import Mapping
from typing import Any

import numpy as np
from absl import logging

from trainer.data.examples import Examples
from trainer.errors import UserError
from trainer.evaluation.conformal import fit_quantiles
from trainer.evaluation.metrics import LOG_LOSS
from trainer.evaluation.operating_point import WANTED_SENSITIVITY, choose_threshold
from trainer.evaluation.tasks import Multiclass
from trainer.evaluation.temperature import apply_temperature, fit_temperature
from trainer.run import Run


def tune(probabilities: np.ndarray, validation: Examples, split: str) -> dict[str, Any]:
    """Fits the temperature, a threshold for each class, and the quantiles of prediction sets.

    Args:
        probabilities: `[examples, classes] float` for the validation split.
        validation: the examples of the validation split.
        split: name of the validation split.

    Returns:
        The content of a run's calibration.json, except the model's digest: `split`, `split_digest`,
        `examples`, `temperature`, `log_loss_before` and `log_loss_after` on that split;
        `sensitivity`, and `thresholds`, the highest threshold of each class that reaches it (None
        if the class does not occur); `conformal`, the result of `fit_quantiles`.
    """
    labels, names = validation.labels, validation.class_names
    temperature = fit_temperature(labels, probabilities)
    softened = apply_temperature(probabilities, temperature)
    return {
        "split": split,
        "split_digest": validation.digest,
        "examples": len(labels),
        "temperature": temperature,
        "log_loss_before": LOG_LOSS.compute(Multiclass(labels, probabilities)),
        "log_loss_after": LOG_LOSS.compute(Multiclass(labels, softened)),
        "sensitivity": WANTED_SENSITIVITY,
        "thresholds": {
            name: choose_threshold(labels == index, probabilities[:, index])
            for index, name in enumerate(names)
        },
        "conformal": fit_quantiles(labels, probabilities, validation.groups, names),
    }


def keep(
    tuning: dict[str, Any], run: Run, model_sha256: str, digests: Mapping[str, str] | None = None
) -> None:
    """Stores the tuned values in the run's directory, for its exported model and own images.

    They are not stored, which is logged, if the validation split differs from the run's own
    (another build of the dataset) or the run is read-only.

    Args:
        tuning: the result of `tune`.
        run: a finished run.
        model_sha256: SHA-256 of the model.keras they were tuned for.
        digests: digests of the splits of the dataset they were tuned on.
    """
    trained_on = run.finished_config()["dataset"]
    # Runs of earlier versions only record the number of examples; a slice is not a split of its
    # own.
    expected = trained_on.get("digests", {})
    is_other = any((digests or {}).get(name, expected[name]) != expected[name] for name in expected)
    if tuning["examples"] != trained_on["validation_examples"] or is_other:
        logging.warning(
            "%s: temperature and thresholds are not kept: they were chosen on another validation "
            "split (%d examples) than the run's own (%d)",
            run.path, tuning["examples"], trained_on["validation_examples"],
        )  # fmt: skip
        return
    try:
        run.write_calibration(tuning, model_sha256)
    except UserError as error:
        logging.warning("temperature and thresholds are not kept: %s", error)
