"""The numbers of `statistics` for many weightings of the same examples at once.

scikit-learn takes one weighting at a time, which for thousands of resamples lasts minutes. A test
compares each number with scikit-learn's.
"""

import numpy as np

# Probabilities are clipped to this, as scikit-learn's log_loss does.
_EPSILON = np.finfo(np.float64).eps


def weighted_headline(
    labels: np.ndarray, probabilities: np.ndarray, weights: np.ndarray
) -> dict[str, np.ndarray]:
    """The numbers named in `statistics.HEADLINE`.

    Args:
        labels: `[examples] int`.
        probabilities: `[examples, classes] float`.
        weights: `[weightings, examples] float`.

    Returns:
        Name to `[weightings] float`; NaN where a number does not exist.
    """
    num_classes = probabilities.shape[1]
    share = _confusion(labels, probabilities, weights)
    share = share / share.sum(axis=(1, 2), keepdims=True)
    hits, true, said = (
        np.diagonal(share, axis1=1, axis2=2),
        share.sum(axis=2),
        share.sum(axis=1),
    )
    accuracy = hits.sum(axis=1)
    by_chance = (true * said).sum(axis=1)
    with np.errstate(invalid="ignore", divide="ignore"):
        f1 = 2 * hits / (true + said)
        # Gorodkin (2004), "Comparing two K-category assignments by a K-category correlation".
        spread = (1 - (true**2).sum(axis=1)) * (1 - (said**2).sum(axis=1))
        numbers = {
            "accuracy": accuracy,
            "balanced_accuracy": np.nanmean(hits / true, axis=1),
            "macro_f1": np.nanmean(f1, axis=1),
            "weighted_f1": np.nansum(true * f1, axis=1),
            "mcc": np.where(spread > _EPSILON, (accuracy - by_chance) / np.sqrt(spread), 0.0),
            "cohen_kappa": (accuracy - by_chance) / (1 - by_chance),
            "one_vs_rest_accuracy": 1 - 2 * (1 - accuracy) / num_classes,
        }
    return numbers | _losses(labels, probabilities, weights)


def weighted_per_class(
    labels: np.ndarray, probabilities: np.ndarray, weights: np.ndarray
) -> dict[str, np.ndarray]:
    """The numbers named in `statistics.PER_CLASS`, of each class against the rest.

    Args:
        labels: as in `weighted_headline`, like all that follows.
        probabilities: of each class.
        weights: of the examples.

    Returns:
        Name to `[weightings, classes] float`; NaN where a number does not exist.
    """
    confusion = _confusion(labels, probabilities, weights)
    tp = np.diagonal(confusion, axis1=1, axis2=2)
    fn, fp = confusion.sum(axis=2) - tp, confusion.sum(axis=1) - tp
    tn = confusion.sum(axis=(1, 2))[:, None] - tp - fn - fp
    curves = [
        _areas(labels == index, probabilities[:, index], weights)
        for index in range(probabilities.shape[1])
    ]
    auroc, average_precision = (np.stack(column, axis=1) for column in zip(*curves, strict=True))
    with np.errstate(invalid="ignore"):
        return {
            "sensitivity": tp / (tp + fn),
            "specificity": tn / (tn + fp),
            "ppv": tp / (tp + fp),
            "npv": tn / (tn + fn),
            "f1": 2 * tp / (2 * tp + fp + fn),
            "auroc": auroc,
            "average_precision": average_precision,
        }


def _confusion(labels, probabilities, weights) -> np.ndarray:
    """`[weightings, true, predicted]`, the sums of weights."""
    num_classes = probabilities.shape[1]
    cells = labels * num_classes + probabilities.argmax(axis=1)
    return (weights @ np.eye(num_classes**2)[cells]).reshape(-1, num_classes, num_classes)


def _losses(labels, probabilities, weights) -> dict[str, np.ndarray]:
    each = np.eye(probabilities.shape[1])[labels]
    of_true = np.clip(probabilities[np.arange(len(labels)), labels], _EPSILON, 1)
    losses = np.stack([-np.log(of_true), ((probabilities - each) ** 2).sum(axis=1)], axis=1)
    log_loss, brier = (weights @ losses / weights.sum(axis=1, keepdims=True)).T
    return {"log_loss": log_loss, "brier_score": brier}


def _areas(true, score, weights) -> tuple[np.ndarray, np.ndarray]:
    """Areas under the ROC curve and average precision, `[weightings]` each."""
    order = np.argsort(-score, kind="stable")
    starts = np.flatnonzero(np.diff(score[order], prepend=np.inf))
    ordered = weights[:, order]
    # Sums over the examples of equal score, from the highest score down.
    positives = np.add.reduceat(ordered * true[order], starts, axis=1)
    negatives = np.add.reduceat(ordered * ~true[order], starts, axis=1)
    above = positives.cumsum(axis=1)
    said = above + negatives.cumsum(axis=1)
    with np.errstate(invalid="ignore"):
        # A negative is outranked by every positive above it, and by half of those beside it.
        outranked = (negatives * (above - positives / 2)).sum(axis=1)
        auroc = outranked / (above[:, -1] * negatives.sum(axis=1))
        precision = above / np.maximum(said, _EPSILON)
        return auroc, (positives * precision).sum(axis=1) / above[:, -1]
