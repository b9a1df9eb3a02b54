"""95 % intervals of a report's numbers, by the percentile bootstrap (Efron, 1979)."""

from typing import Any

import numpy as np
from statsmodels.stats.proportion import proportion_confint

from trainer.evaluation.resampling import Resampling
from trainer.evaluation.statistics import HEADLINE, PER_CLASS, classification_statistics
from trainer.evaluation.weighted import weighted_headline, weighted_per_class

CONFIDENCE = 0.95
_SAME = 1e-12


def statistics_with_intervals(
    labels: np.ndarray,
    probabilities: np.ndarray,
    class_names: tuple[str, ...],
    resampling: Resampling,
) -> dict[str, Any]:
    """What `classification_statistics` returns, with `intervals` beside the numbers.

    Args:
        labels: `[examples] int`.
        probabilities: `[examples, classes] float`.
        class_names: names of the classes.
        resampling: of these examples.

    Returns:
        The statistics. `intervals`, there and in each class, maps a name to `[low, high]`, or to
        None, and then `why` says why.
    """
    statistics = classification_statistics(labels, probabilities, class_names)
    confusion = np.array(statistics["confusion_matrix"])
    headline = resampling.samples(lambda w: weighted_headline(labels, probabilities, w))
    hits = (int(np.trace(confusion)), len(labels))
    add_intervals(statistics, {name: headline[name] for name in HEADLINE}, {"accuracy": hits})
    per_class = resampling.samples(lambda w: weighted_per_class(labels, probabilities, w))
    for index, name in enumerate(class_names):
        samples = {metric: per_class[metric][:, index] for metric in PER_CLASS}
        add_intervals(statistics["per_class"][name], samples, _counts(confusion, index))
    return statistics


def add_intervals(
    numbers: dict[str, Any],
    samples: dict[str, np.ndarray],
    counts: dict[str, tuple[int, int]],
) -> None:
    """Adds `intervals` to numbers, and to their `why` what is to be said of them.

    Args:
        numbers: name to number, and `why`.
        samples: name to `[resamples] float`, NaN where the number does not exist.
        counts: of the numbers that are proportions, the count and of how many. Where all
            resamples agree, as when everything is right, the exact binomial interval (Clopper and
            Pearson, 1934) stands in.
    """
    numbers["intervals"] = {}
    for name, values in samples.items():
        interval, why = None, None
        if numbers[name] is not None:
            interval, why = _interval(values, counts.get(name))
        numbers["intervals"][name] = interval
        if why:
            said = numbers["why"].get(name)
            numbers["why"][name] = f"{said}; {why}" if said else why


def _interval(
    values: np.ndarray, count: tuple[int, int] | None
) -> tuple[list[float] | None, str | None]:
    exists = values[~np.isnan(values)]
    if len(exists) == 0:
        return None, "no interval: it exists in no resample"
    if np.ptp(exists) > _SAME:
        tail = (1 - CONFIDENCE) / 2
        bounds = [float(bound) for bound in np.quantile(exists, [tail, 1 - tail])]
        missing = 1 - len(exists) / len(values)
        return bounds, f"it exists in {1 - missing:.1%} of the resamples" if missing else None
    if count:
        bounds = proportion_confint(*count, alpha=1 - CONFIDENCE, method="beta")
        return [float(bound) for bound in bounds], "exact binomial interval: all resamples agree"
    return None, "no interval: all resamples agree, so they say nothing of its spread"


def _counts(confusion: np.ndarray, index: int) -> dict[str, tuple[int, int]]:
    tp = int(confusion[index, index])
    fn, fp = int(confusion[index].sum()) - tp, int(confusion[:, index].sum()) - tp
    tn = int(confusion.sum()) - tp - fn - fp
    return {
        "sensitivity": (tp, tp + fn),
        "specificity": (tn, tn + fp),
        "ppv": (tp, tp + fp),
        "npv": (tn, tn + fn),
    }
