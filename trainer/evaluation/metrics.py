"""The metrics of a report, each declared once.

A new metric is one record in `HEADLINE`: report.json, report.html, the model cards, the comparison
of runs and the intervals are derived from it. A per-class metric is a record in `PER_CLASS`, from
which report.json, report.html and the intervals are derived.
"""

import dataclasses
from collections.abc import Callable
from typing import Any

import numpy as np
from sklearn import metrics

from trainer.evaluation.tasks import EPSILON, Binary, Multiclass


def _nothing(task: Any) -> None:
    """Returns no note."""


@dataclasses.dataclass(frozen=True)
class Metric:
    """A metric of a `Multiclass` task (in `HEADLINE`) or a `Binary` one (in `PER_CLASS`).

    Attributes:
        name: key of the metric in report.json.
        label: display name of the metric.
        compute: computes the value, with scikit-learn where available; None if undefined.
        resample: computes the value in every resample of a task with weights, `[resamples] float`;
            NaN if undefined.
        note: why the value is undefined, or which convention it follows; None if no note is needed.
        counts: for a proportion of examples, its numerator and denominator.
        higher_is_better: whether higher values are better.
        digits: number of decimals shown.
        hint: a remark under its label; may use `{classes}`, the number of classes, and `{others}`,
            two fewer.
    """

    name: str
    label: str
    compute: Callable[[Any], float | None]
    resample: Callable[[Any], np.ndarray]
    note: Callable[[Any], str | None] = _nothing
    counts: Callable[[Any], tuple[float, float]] | None = None
    higher_is_better: bool = True
    digits: int = 3
    hint: str = ""


def _balanced_accuracy_note(task: Multiclass) -> str | None:
    occurring = len(np.unique(task.labels))
    if occurring == task.num_classes:
        return None
    return f"the mean over the {occurring} classes that occur, of {task.num_classes}"


def _macro_f1_note(task: Multiclass) -> str | None:
    if len(np.unique(task.labels)) == task.num_classes:
        return None
    return "the mean over the classes that occur or were predicted"


def _f1_of_classes(task: Multiclass) -> np.ndarray:
    true, predicted = task.marginals
    return 2 * task.hits / (true + predicted)


def _mcc_note(task: Multiclass) -> str | None:
    if len(np.unique(task.predicted)) == 1:
        return "0 by convention: the model predicts a single class"
    if len(np.unique(task.labels)) == 1:
        return "0 by convention: a single class occurs"
    return None


def _mcc(task: Multiclass) -> float:
    return 0.0 if _mcc_note(task) else float(metrics.matthews_corrcoef(task.labels, task.predicted))


def _by_chance(task: Multiclass) -> np.ndarray:
    """The chance accuracy: that of random answers with the same class frequencies."""
    true, predicted = task.marginals
    return (true * predicted).sum(axis=1)


def _resampled_accuracy(task: Multiclass) -> np.ndarray:
    return task.hits.sum(axis=1)


def _resampled_mcc(task: Multiclass) -> np.ndarray:
    """Gorodkin (2004), "Comparing two K-category assignments by a K-category correlation"."""
    true, predicted = task.marginals
    spread = (1 - (true**2).sum(axis=1)) * (1 - (predicted**2).sum(axis=1))
    above_chance = _resampled_accuracy(task) - _by_chance(task)
    return np.where(spread > EPSILON, above_chance / np.sqrt(spread), 0.0)


def _kappa_note(task: Multiclass) -> str | None:
    if len(np.unique([task.labels, task.predicted])) > 1:
        return None
    return "only one class occurs and is predicted: agreement by chance is 1"


def _kappa(task: Multiclass) -> float | None:
    if _kappa_note(task):
        return None
    classes = range(task.num_classes)
    return float(metrics.cohen_kappa_score(task.labels, task.predicted, labels=classes))


def _resampled_kappa(task: Multiclass) -> np.ndarray:
    by_chance = _by_chance(task)
    return (_resampled_accuracy(task) - by_chance) / (1 - by_chance)


def _log_losses(task: Multiclass) -> np.ndarray:
    of_true = task.probabilities[np.arange(len(task.labels)), task.labels]
    return -np.log(np.clip(of_true, EPSILON, 1))


def _brier_scores(task: Multiclass) -> np.ndarray:
    return ((task.probabilities - np.eye(task.num_classes)[task.labels]) ** 2).sum(axis=1)


def _one_vs_rest(accuracy: Any, task: Multiclass) -> Any:
    # A wrong answer is wrong for two classes and correct for all others.
    return 1 - 2 * (1 - accuracy) / task.num_classes


ACCURACY = Metric(
    "accuracy",
    "Accuracy",
    compute=lambda task: float(metrics.accuracy_score(task.labels, task.predicted)),
    resample=_resampled_accuracy,
    counts=lambda task: (task.right.sum(), len(task.labels)),
)
BALANCED_ACCURACY = Metric(
    "balanced_accuracy",
    "Balanced accuracy",
    compute=lambda task: float(
        metrics.recall_score(
            task.labels, task.predicted, labels=np.unique(task.labels), average="macro"
        )
    ),
    resample=lambda task: np.nanmean(task.hits / task.marginals[0], axis=1),
    note=_balanced_accuracy_note,
)
MACRO_F1 = Metric(
    "macro_f1",
    "Macro F1",
    compute=lambda task: float(metrics.f1_score(task.labels, task.predicted, average="macro")),
    resample=lambda task: np.nanmean(_f1_of_classes(task), axis=1),
    note=_macro_f1_note,
)
LOG_LOSS = Metric(
    "log_loss",
    "Log loss",
    compute=lambda task: float(
        metrics.log_loss(task.labels, task.probabilities, labels=range(task.num_classes))
    ),
    resample=lambda task: task.mean(_log_losses(task)),
    higher_is_better=False,
)
BRIER_SCORE = Metric(
    "brier_score",
    # The sum over the classes, as defined by Brier (1950).
    "Brier score (0 to 2)",
    compute=lambda task: float(
        metrics.brier_score_loss(
            task.labels, task.probabilities, labels=range(task.num_classes), scale_by_half=False
        )
    ),
    resample=lambda task: task.mean(_brier_scores(task)),
    higher_is_better=False,
)

# Metrics over all classes, in the order of the report.
HEADLINE: tuple[Metric, ...] = (
    ACCURACY,
    BALANCED_ACCURACY,
    MACRO_F1,
    Metric(
        "weighted_f1",
        "Weighted F1",
        compute=lambda task: float(
            metrics.f1_score(task.labels, task.predicted, average="weighted")
        ),
        resample=lambda task: np.nansum(task.marginals[0] * _f1_of_classes(task), axis=1),
    ),
    Metric("mcc", "Matthews correlation (MCC)", _mcc, _resampled_mcc, note=_mcc_note),
    Metric("cohen_kappa", "Cohen's kappa", _kappa, _resampled_kappa, note=_kappa_note),
    LOG_LOSS,
    BRIER_SCORE,
    Metric(
        "one_vs_rest_accuracy",
        "Mean one-against-rest accuracy",
        compute=lambda task: _one_vs_rest(ACCURACY.compute(task), task),
        resample=lambda task: _one_vs_rest(_resampled_accuracy(task), task),
        hint="the accuracy that many papers report; an error counts as correct for {others} of "
        "{classes} classes",
    ),
)


def _ratio(
    name: str,
    label: str,
    parts: Callable[[float, float, float, float], tuple[float, float]],
    undefined: str,
    *,
    proportion: bool = True,
) -> Metric:
    """Creates a ratio of counts; `parts` takes tn, fp, fn, tp of one task or of resamples."""

    def compute(task: Binary) -> float | None:
        part, whole = parts(*task.counts)
        return float(part / whole) if whole else None

    return Metric(
        name,
        label,
        compute,
        resample=lambda task: np.divide(*parts(*task.counts)),
        note=lambda task: None if parts(*task.counts)[1] else undefined,
        counts=(lambda task: parts(*task.counts)) if proportion else None,
    )


_NO_EXAMPLE = "no example of this class"
SENSITIVITY = _ratio(
    "sensitivity", "Sensitivity", lambda tn, fp, fn, tp: (tp, tp + fn), _NO_EXAMPLE
)
SPECIFICITY = _ratio(
    "specificity",
    "Specificity",
    lambda tn, fp, fn, tp: (tn, tn + fp),
    "no example of another class",
)
PPV = _ratio("ppv", "PPV", lambda tn, fp, fn, tp: (tp, tp + fp), "this class was never predicted")
NPV = _ratio(
    "npv", "NPV", lambda tn, fp, fn, tp: (tn, tn + fn), "no other class was ever predicted"
)


def _auroc(task: Binary) -> float | None:
    both_occur = 0 < task.labels.sum() < len(task.labels)
    return float(metrics.roc_auc_score(task.labels, task.scores)) if both_occur else None


def _average_precision(task: Binary) -> float | None:
    occurs = task.labels.any()
    return float(metrics.average_precision_score(task.labels, task.scores)) if occurs else None


AUROC = Metric(
    "auroc",
    "AUROC",
    _auroc,
    resample=lambda task: task.areas[0],
    note=lambda task: (
        None
        if 0 < task.labels.sum() < len(task.labels)
        else "needs examples of this class and of another"
    ),
)

# Metrics of each class against the rest, in the order of the report.
PER_CLASS: tuple[Metric, ...] = (
    SENSITIVITY,
    SPECIFICITY,
    PPV,
    NPV,
    _ratio(
        "f1",
        "F1",
        lambda tn, fp, fn, tp: (2 * tp, 2 * tp + fp + fn),
        "this class neither occurs nor was predicted",
        proportion=False,
    ),
    AUROC,
    Metric(
        "average_precision",
        "Average precision",
        _average_precision,
        resample=lambda task: task.areas[1],
        note=lambda task: None if task.labels.any() else _NO_EXAMPLE,
    ),
)
