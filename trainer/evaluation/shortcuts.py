"""Shortcut controls: predictions with a part of each radiograph blanked."""

import dataclasses

import numpy as np

from trainer.evaluation.metrics import ACCURACY, BALANCED_ACCURACY
from trainer.evaluation.resampling import Resampling
from trainer.evaluation.statistics import Numbers, evaluate
from trainer.evaluation.tasks import Multiclass

# Views of a radiograph: maps the key in predictions and report to the display name.
VIEWS = {
    "whole": "whole radiograph",
    "lungs_only": "everything outside the lungs blanked",
    "lungs_blanked": "lungs blanked",
}
METRICS = (ACCURACY, BALANCED_ACCURACY)
HOW_TO_READ = (
    "A model that relies on the lungs keeps its accuracy when everything else is black, and falls "
    "to that of always predicting the most frequent class when the lungs are black. Accuracy above "
    "that without the lungs comes from something other than the disease. Black areas are out of "
    "distribution, which by itself lowers accuracy."
)


@dataclasses.dataclass(frozen=True)
class ShortcutControls:
    """The metrics of `METRICS` for each view.

    Attributes:
        examples: number of radiographs with a mask.
        most_frequent_class: accuracy of always predicting the most frequent class.
        how_to_read: how to interpret the metrics.
        whole: metrics on the whole radiograph.
        lungs_only: metrics with everything outside the lungs blanked.
        lungs_blanked: metrics with the lungs blanked.
    """

    examples: int
    most_frequent_class: float
    how_to_read: str
    whole: Numbers
    lungs_only: Numbers
    lungs_blanked: Numbers


def blanked(images: np.ndarray, lungs: np.ndarray) -> dict[str, np.ndarray]:
    """Blanks a part of each radiograph.

    Args:
        images: `[examples, H, W, 1] uint8`.
        lungs: `[examples, H, W, 1] bool`.

    Returns:
        The images for `lungs_only` and `lungs_blanked`.
    """
    return {"lungs_only": images * lungs, "lungs_blanked": images * ~lungs}


def evaluate_shortcuts(
    probabilities: dict[str, np.ndarray], labels: np.ndarray, resampling: Resampling
) -> ShortcutControls:
    """Evaluates the predictions from each view.

    Args:
        probabilities: `[examples, classes]` for each of `VIEWS`.
        labels: `[examples] int`, classes of the examples with a mask.
        resampling: bootstrap resamples of these examples.

    Returns:
        The metrics of each view.
    """
    tasks = [(METRICS, Multiclass(labels, probabilities[view])) for view in VIEWS]
    return ShortcutControls(
        examples=len(labels),
        most_frequent_class=float(np.bincount(labels).max() / len(labels)),
        how_to_read=HOW_TO_READ,
        **dict(zip(VIEWS, evaluate(tasks, resampling), strict=True)),
    )
