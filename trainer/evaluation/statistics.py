"""The numbers of a report, computed by scikit-learn from labels and probabilities."""

from typing import Any

import numpy as np
from sklearn import metrics


def classification_statistics(
    labels: np.ndarray, probabilities: np.ndarray, class_names: tuple[str, ...]
) -> dict[str, Any]:
    """Accuracy, the classification report and the confusion matrix.

    Args:
        labels: `[examples] int`, the true classes.
        probabilities: `[examples, classes] float`.
        class_names: names of the classes in the order of their labels.

    Returns:
        `examples`, `accuracy`, `per_class` (name to precision, recall, f1, support; a ratio whose
        denominator is zero is None) and `confusion_matrix` (rows true, columns predicted).
    """
    predicted = probabilities.argmax(axis=1)
    every_class = range(len(class_names))
    precision, recall, f1, support = metrics.precision_recall_fscore_support(
        labels, predicted, labels=every_class, zero_division=np.nan
    )
    return {
        "examples": len(labels),
        "accuracy": float(metrics.accuracy_score(labels, predicted)),
        "per_class": {
            name: {
                "precision": _number(precision[index]),
                "recall": _number(recall[index]),
                "f1": _number(f1[index]),
                "support": int(support[index]),
            }
            for index, name in enumerate(class_names)
        },
        "confusion_matrix": metrics.confusion_matrix(
            labels, predicted, labels=every_class
        ).tolist(),
    }


def _number(value: float) -> float | None:
    """A float for JSON, which knows no NaN."""
    return None if np.isnan(value) else float(value)
