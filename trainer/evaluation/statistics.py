"""The numbers of a report, computed by scikit-learn from labels and probabilities."""

from typing import Any

import numpy as np
from sklearn import metrics

HEADLINE = (
    "accuracy",
    "balanced_accuracy",
    "macro_f1",
    "weighted_f1",
    "mcc",
    "cohen_kappa",
    "log_loss",
    "brier_score",
    "one_vs_rest_accuracy",
)
PER_CLASS = ("sensitivity", "specificity", "ppv", "npv", "f1", "auroc", "average_precision")


def classification_statistics(
    labels: np.ndarray, probabilities: np.ndarray, class_names: tuple[str, ...]
) -> dict[str, Any]:
    """Every number that labels and probabilities give.

    Args:
        labels: `[examples] int`, the true classes.
        probabilities: `[examples, classes] float`, rows summing to 1.
        class_names: names of the classes in the order of their labels.

    Returns:
        `examples`; the numbers named in `HEADLINE`; `per_class`, name to the numbers named in
        `PER_CLASS`, `support`, and `precision` and `recall` (other names of ppv and sensitivity);
        `confusion_matrix` (rows true, columns predicted). A number that does not exist is None,
        and `why`, here and in each class, says why.
    """
    predicted = probabilities.argmax(axis=1)
    confusion = metrics.confusion_matrix(labels, predicted, labels=range(len(class_names)))
    return {
        "examples": len(labels),
        **_headline(labels, predicted, probabilities),
        "per_class": {
            name: _of_class(labels == index, predicted == index, probabilities[:, index])
            for index, name in enumerate(class_names)
        },
        "confusion_matrix": confusion.tolist(),
    }


def _headline(labels: np.ndarray, predicted: np.ndarray, probabilities: np.ndarray) -> dict:
    num_classes = probabilities.shape[1]
    occurring = np.unique(labels)
    accuracy = float(metrics.accuracy_score(labels, predicted))
    why = {}
    if len(occurring) < num_classes:
        why["balanced_accuracy"] = (
            f"the mean over the {len(occurring)} classes that occur, of {num_classes}"
        )
        why["macro_f1"] = "the mean over the classes that occur or were predicted"
    one_answer = len(np.unique(predicted)) == 1
    if one_answer or len(occurring) == 1:
        what = "the model gives one class only" if one_answer else "one class only occurs"
        why["mcc"] = f"0 by convention: {what}"
    kappa_exists = not (one_answer and len(occurring) == 1 and occurring[0] == predicted[0])
    if not kappa_exists:
        why["cohen_kappa"] = "one class only, and no other answer: chance agrees as often"
    return {
        "accuracy": accuracy,
        "balanced_accuracy": float(
            metrics.recall_score(labels, predicted, labels=occurring, average="macro")
        ),
        "macro_f1": float(metrics.f1_score(labels, predicted, average="macro")),
        "weighted_f1": float(metrics.f1_score(labels, predicted, average="weighted")),
        "mcc": 0.0 if "mcc" in why else float(metrics.matthews_corrcoef(labels, predicted)),
        "cohen_kappa": (
            float(metrics.cohen_kappa_score(labels, predicted, labels=range(num_classes)))
            if kappa_exists
            else None
        ),
        "log_loss": float(metrics.log_loss(labels, probabilities, labels=range(num_classes))),
        # The sum over the classes, from 0 to 2, as Brier (1950) defined it.
        "brier_score": float(
            metrics.brier_score_loss(
                labels, probabilities, labels=range(num_classes), scale_by_half=False
            )
        ),
        # A wrong answer is wrong for two classes and right for all others.
        "one_vs_rest_accuracy": 1 - 2 * (1 - accuracy) / num_classes,
        "why": why,
    }


def _of_class(true: np.ndarray, said: np.ndarray, score: np.ndarray) -> dict[str, Any]:
    (tn, fp), (fn, tp) = metrics.confusion_matrix(true, said, labels=[False, True])
    both_occur = 0 < true.sum() < len(true)
    numbers = {
        "sensitivity": _ratio(tp, tp + fn),
        "specificity": _ratio(tn, tn + fp),
        "ppv": _ratio(tp, tp + fp),
        "npv": _ratio(tn, tn + fn),
        "f1": _ratio(2 * tp, 2 * tp + fp + fn),
        "auroc": float(metrics.roc_auc_score(true, score)) if both_occur else None,
        "average_precision": (
            float(metrics.average_precision_score(true, score)) if true.any() else None
        ),
    }
    numbers |= {"precision": numbers["ppv"], "recall": numbers["sensitivity"]}
    return {
        **numbers,
        "support": int(true.sum()),
        "why": {name: _REASONS[name] for name, value in numbers.items() if value is None},
    }


_NONE_TRUE, _NONE_SAID = "no example of this class", "this class was never predicted"
_REASONS = {
    "sensitivity": _NONE_TRUE,
    "recall": _NONE_TRUE,
    "specificity": "no example of another class",
    "ppv": _NONE_SAID,
    "precision": _NONE_SAID,
    "npv": "no other class was ever predicted",
    "f1": "this class neither occurs nor was predicted",
    "auroc": "needs examples of this class and of another",
    "average_precision": _NONE_TRUE,
}


def _ratio(count: int, total: int) -> float | None:
    return float(count / total) if total else None
