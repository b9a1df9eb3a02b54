"""The metrics that a study reports for each run."""

import numpy as np
from sklearn.metrics import roc_auc_score

from trainer.evaluation.calibration import BINS, expected_calibration_error, reliability
from trainer.evaluation.metrics import (
    ACCURACY,
    BALANCED_ACCURACY,
    BRIER_SCORE,
    LOG_LOSS,
    MACRO_F1,
    Metric,
)
from trainer.evaluation.tasks import Multiclass


def _occurring(task: Multiclass) -> np.ndarray:
    return np.unique(task.labels)


def _macro_auroc(task: Multiclass) -> float | None:
    if len(_occurring(task)) < 2:
        return None
    return float(
        np.mean(
            [
                roc_auc_score(task.labels == label, task.probabilities[:, label])
                for label in _occurring(task)
            ]
        )
    )


def _macro_auroc_note(task: Multiclass) -> str | None:
    occurring = len(_occurring(task))
    if occurring == task.num_classes:
        return None
    if occurring < 2:
        return "one class only occurs"
    return f"the mean over the {occurring} classes that occur, of {task.num_classes}"


def _resampled_macro_auroc(task: Multiclass) -> np.ndarray:
    areas = [task.one_against_rest(label).areas[0] for label in _occurring(task)]
    return np.nanmean(areas, axis=0)


def _ece(task: Multiclass) -> float:
    return expected_calibration_error(reliability(task.labels, task.probabilities))


def _resampled_ece(task: Multiclass) -> np.ndarray:
    confidence = task.probabilities.max(axis=1)
    bins = np.digitize(confidence, np.linspace(0, 1, BINS + 1)[1:-1], right=True)
    gaps = (confidence - task.right)[:, None] * np.eye(BINS)[bins]
    return np.abs(task.weights @ gaps).sum(axis=1) / task.weights.sum(axis=1)


MACRO_AUROC = Metric(
    "macro_auroc", "Macro AUROC", _macro_auroc, _resampled_macro_auroc, note=_macro_auroc_note
)
ECE = Metric(
    "ece", "Expected calibration error (ECE)", _ece, _resampled_ece, higher_is_better=False
)

# In the order of the report.
METRICS: tuple[Metric, ...] = (
    ACCURACY, BALANCED_ACCURACY, MACRO_F1, MACRO_AUROC, LOG_LOSS, BRIER_SCORE, ECE,
)  # fmt: skip
