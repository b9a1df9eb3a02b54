"""Paired differences of two models' metrics, with intervals and p-values."""

import dataclasses
from collections.abc import Iterator, Mapping, Sequence
from typing import Annotated

import numpy as np
from statsmodels.stats.multitest import multipletests

from trainer.evaluation import calibration_error, metrics
from trainer.evaluation.calibration import forecast_of_prediction
from trainer.evaluation.calibration_error import calibration_errors
from trainer.evaluation.delong import compare_areas
from trainer.evaluation.intervals import Interval, interval, two_sided_p
from trainer.evaluation.json_content import INLINE
from trainer.evaluation.metrics import Metric
from trainer.evaluation.operating_point import at_threshold
from trainer.evaluation.resampling import Resampling
from trainer.evaluation.statistics import Numbers, resample, with_intervals
from trainer.evaluation.tasks import Binary, Multiclass

ALL = "all classes"
_DELONG, _BOOTSTRAP = "DeLong", "paired bootstrap"
_POINT = (metrics.SENSITIVITY, metrics.SPECIFICITY)
_NO_THRESHOLD = "one of the two models has no threshold"
_UNDEFINED = "one of the two models has no such number"


@dataclasses.dataclass(frozen=True)
class Subject:
    """The metric and class that a difference is about.

    Attributes:
        metric: key of the metric in report.json.
        about: name of the class, or all.
        label: display name of the metric.
        higher_is_better: whether a positive difference favours the first model.
    """

    metric: str
    about: str
    label: str
    higher_is_better: bool


@dataclasses.dataclass(frozen=True)
class Difference:
    """A metric of the first model minus that of the second.

    Attributes:
        subject: metric and class of the difference.
        method: method of the test and the interval.
        value: the difference; None if it is undefined.
        interval: confidence interval of the difference; None if there is none.
        p: two-sided p-value for no difference; None if there is none.
        p_holm: the p-value after Holm's correction over all differences of all pairs.
        why: maps missing fields to the reason.
    """

    subject: Annotated[Subject, INLINE]
    method: str
    value: float | None
    interval: Interval | None
    p: float | None
    p_holm: float | None
    why: dict[str, str]


@dataclasses.dataclass(frozen=True)
class Measured:
    """A metric of one model.

    Attributes:
        value: value on the examples; None if undefined.
        samples: `[resamples] float`, with the same resamples for all models; NaN if undefined.
    """

    value: float | None
    samples: np.ndarray


# Values of a model by class, or all, and metric name.
Measurements = dict[tuple[str, str], Measured]


def measure(
    models: Mapping[str, Multiclass],
    class_names: Sequence[str],
    positive: int,
    thresholds: Mapping[str, float | None],
    resampling: Resampling,
) -> dict[str, Measurements]:
    """Computes the resampled metrics of all models.

    Args:
        models: labels and probabilities by model name, for the same examples.
        class_names: names of the classes.
        positive: index of the class of the thresholds.
        thresholds: threshold by model name; None if there is none.
        resampling: bootstrap resamples of the examples.

    Returns:
        The metrics by model name.
    """
    tasks = {
        name: [*_resampled_tasks(task, class_names, positive, thresholds[name], resampling)]
        for name, task in models.items()
    }
    parts = [(chosen, task) for of_model in tasks.values() for _, chosen, task in of_model]
    samples = iter(resample(parts, resampling))
    errors = calibration_errors([*map(forecast_of_prediction, models.values())], resampling)
    return {
        name: {
            (about, metric.name): Measured(metric.compute(task), drawn[metric.name])
            for about, chosen, task in of_model
            for drawn in [next(samples)]
            for metric in chosen
        }
        | {(ALL, calibration_error.NAME): Measured(error.value, error.samples)}
        for (name, of_model), error in zip(tasks.items(), errors, strict=True)
    }


def _resampled_tasks(
    task: Multiclass,
    class_names: Sequence[str],
    positive: int,
    threshold: float | None,
    resampling: Resampling,
) -> Iterator[tuple[str, Sequence[Metric], Binary | Multiclass]]:
    yield ALL, metrics.HEADLINE, task
    if threshold is not None:
        yield class_names[positive], _POINT, at_threshold(task, positive, threshold)
    if not resampling.all_independent:
        for index, name in enumerate(class_names):
            yield name, (metrics.AUROC,), task.one_against_rest(index)


def of_headline(first: Measurements, second: Measurements) -> Numbers:
    """Computes the difference of every headline metric, with its interval.

    Args:
        first: the result of `measure` for one model.
        second: the result of `measure` for the other model.
    """
    values: dict[str, float | None] = {}
    samples, notes = {}, {}
    for metric in metrics.HEADLINE:
        one, other = (numbers[ALL, metric.name] for numbers in (first, second))
        values[metric.name] = _minus(one.value, other.value)
        samples[metric.name] = one.samples - other.samples
        if values[metric.name] is None:
            notes[metric.name] = _UNDEFINED
    return with_intervals(values, notes, samples, {})


def tested_differences(
    first: tuple[Multiclass, Measurements],
    second: tuple[Multiclass, Measurements],
    class_names: Sequence[str],
    positive: int,
    resampling: Resampling,
) -> list[Difference]:
    """Computes the tested differences, without correction for multiple testing.

    Args:
        first: one model, with its result of `measure`.
        second: the other model, likewise.
        class_names: names of the classes.
        positive: index of the class for sensitivity and specificity.
        resampling: bootstrap resamples of the examples.

    Returns:
        The differences, in the order of the report.
    """
    numbers = first[1], second[1]
    areas = [_subject(metrics.AUROC, name) for name in class_names]
    of_point = [_subject(metric, class_names[positive], " at the threshold") for metric in _POINT]
    losses = [_subject(metric, ALL) for metric in (metrics.LOG_LOSS, metrics.BRIER_SCORE)]
    error = Subject(calibration_error.NAME, ALL, calibration_error.LABEL, higher_is_better=False)
    return [
        _resampled(_subject(metrics.ACCURACY, ALL), *numbers),
        *(
            _of_areas(subject, *(model[0].one_against_rest(index) for model in (first, second)))
            if resampling.all_independent
            else _resampled(subject, *numbers)
            for index, subject in enumerate(areas)
        ),
        *(_resampled(subject, *numbers) for subject in (*of_point, *losses, error)),
    ]


def with_holm(pairs: Sequence[list[Difference]]) -> list[list[Difference]]:
    """Corrects the p-values over all differences of all pairs (Holm, 1979).

    Args:
        pairs: the differences of each pair.
    """
    tested = [difference.p for pair in pairs for difference in pair if difference.p is not None]
    corrected = iter(multipletests(tested, method="holm")[1].tolist() if tested else [])
    return [
        [
            difference
            if difference.p is None
            else dataclasses.replace(difference, p_holm=next(corrected))
            for difference in pair
        ]
        for pair in pairs
    ]


def _subject(metric: Metric, about: str, where: str = "") -> Subject:
    return Subject(metric.name, about, metric.label + where, metric.higher_is_better)


def _of_areas(subject: Subject, first: Binary, second: Binary) -> Difference:
    if note := metrics.AUROC.note(first):
        return _difference(subject, _DELONG, None, None, None, note)
    found = compare_areas(first.labels, first.scores, second.scores)
    return _difference(subject, _DELONG, *found)


def _resampled(subject: Subject, first: Measurements, second: Measurements) -> Difference:
    key = subject.about, subject.metric
    if key not in first or key not in second:
        return _difference(subject, _BOOTSTRAP, None, None, None, _NO_THRESHOLD)
    value = _minus(first[key].value, second[key].value)
    if value is None:
        return _difference(subject, _BOOTSTRAP, None, None, None, _UNDEFINED)
    samples = first[key].samples - second[key].samples
    bounds, why = interval(samples, None)
    # If all resamples agree, there is no spread to test with.
    p = two_sided_p(samples[~np.isnan(samples)]) if bounds or value == 0 else None
    return _difference(subject, _BOOTSTRAP, value, bounds, p, why)


def _difference(
    subject: Subject,
    method: str,
    value: float | None,
    bounds: Interval | None,
    p: float | None,
    why: str | None,
) -> Difference:
    fields = {"value": value, "interval": bounds, "p": p, "p_holm": p}
    missing = {name: why for name, found in fields.items() if found is None and why}
    # The p-value is corrected once all are known.
    return Difference(subject, method, value, bounds, p, p, missing)


def _minus(first: float | None, second: float | None) -> float | None:
    return None if first is None or second is None else first - second
