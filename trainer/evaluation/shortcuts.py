"""Whether the answer comes from the lungs: one part of each radiograph blanked, then judged."""

import functools
from typing import Any

import numpy as np

from trainer.evaluation.intervals import add_intervals
from trainer.evaluation.resampling import Resampling
from trainer.evaluation.statistics import classification_statistics
from trainer.evaluation.weighted import weighted_headline

# What is seen: the keys of the predictions and of the report.
VIEWS = ("whole", "lungs_only", "lungs_blanked")
HOW_TO_READ = (
    "A model that reads lungs stays near its plain accuracy when all else is black and falls to "
    "that of the most frequent class when the lungs are black; what it keeps beyond that without "
    "the lungs, it owes to something else than the disease (black areas are also unlike anything "
    "it was trained on, which by itself costs accuracy)."
)


def blanked(images: np.ndarray, lungs: np.ndarray) -> dict[str, np.ndarray]:
    """Radiographs with a part made black.

    Args:
        images: `[examples, H, W, 1] uint8`.
        lungs: `[examples, H, W, 1] bool`.

    Returns:
        The images for `lungs_only` and `lungs_blanked`.
    """
    return {"lungs_only": images * lungs, "lungs_blanked": images * ~lungs}


def shortcut_controls(
    predictions: dict[str, np.ndarray],
    labels: np.ndarray,
    class_names: tuple[str, ...],
    resampling: Resampling,
) -> dict[str, Any]:
    """Accuracy for each view.

    Args:
        predictions: `[examples, classes]` probabilities for each of `VIEWS`.
        labels: `[examples] int`, of the examples with a mask.
        class_names: names of the classes.
        resampling: of these examples.

    Returns:
        `examples`, `most_frequent_class` (the accuracy of always answering it), and for each of
        `VIEWS` `accuracy`, `balanced_accuracy`, `intervals` and `why`; `how_to_read`.
    """
    names = ("accuracy", "balanced_accuracy")
    controls: dict[str, Any] = {
        "examples": len(labels),
        "most_frequent_class": float(np.bincount(labels).max() / len(labels)),
        "how_to_read": HOW_TO_READ,
    }
    for view in VIEWS:
        shares = predictions[view]
        statistics = classification_statistics(labels, shares, class_names)
        numbers = {name: statistics[name] for name in names}
        numbers["why"] = {name: why for name, why in statistics["why"].items() if name in names}
        samples = resampling.samples(functools.partial(weighted_headline, labels, shares))
        hits = (int(np.sum(shares.argmax(axis=1) == labels)), len(labels))
        add_intervals(numbers, {name: samples[name] for name in names}, {"accuracy": hits})
        controls[view] = numbers
    return controls
