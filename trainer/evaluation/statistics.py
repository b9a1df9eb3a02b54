"""Metrics of labels and predictions, with confidence intervals."""

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Annotated

import numpy as np
from sklearn.metrics import confusion_matrix

from trainer.evaluation import metrics
from trainer.evaluation.intervals import Interval, interval
from trainer.evaluation.json_content import INLINE
from trainer.evaluation.metrics import Metric
from trainer.evaluation.resampling import Resampling
from trainer.evaluation.tasks import Binary, Multiclass, Sets

# Metrics, and the task to compute them for.
Task = tuple[Sequence[Metric], Binary | Multiclass | Sets]


@dataclasses.dataclass(frozen=True)
class Numbers:
    """Metrics of one task.

    Attributes:
        values: value by metric; None if undefined.
        why: reason why a value or interval is missing or unusual, by metric.
        intervals: 95 % interval by metric; None if there is none.
    """

    values: Annotated[dict[str, float | None], INLINE]
    why: dict[str, str]
    intervals: dict[str, Interval | None]


@dataclasses.dataclass(frozen=True)
class ClassStatistics:
    """Metrics of one class against the rest.

    Attributes:
        values: the metrics of `metrics.PER_CLASS`.
        precision: the PPV.
        recall: the sensitivity.
        support: number of examples of the class.
        why: as in `Numbers`.
        intervals: as in `Numbers`.
    """

    values: Annotated[dict[str, float | None], INLINE]
    precision: float | None
    recall: float | None
    support: int
    why: dict[str, str]
    intervals: dict[str, Interval | None]


@dataclasses.dataclass(frozen=True)
class Statistics:
    """Metrics over all classes, and of each class against the rest.

    Attributes:
        examples: number of examples.
        values: the metrics of `metrics.HEADLINE`.
        why: as in `Numbers`.
        per_class: statistics by class name.
        confusion_matrix: counts, rows true, columns predicted.
        intervals: as in `Numbers`.
    """

    examples: int
    values: Annotated[dict[str, float | None], INLINE]
    why: dict[str, str]
    per_class: dict[str, ClassStatistics]
    confusion_matrix: list[list[int]]
    intervals: dict[str, Interval | None]


def evaluate(tasks: Sequence[Task], resampling: Resampling) -> list[Numbers]:
    """Computes metrics and their intervals.

    Args:
        tasks: metrics and the task of each; all tasks have the same examples.
        resampling: bootstrap resamples of these examples.

    Returns:
        The metrics of each task.
    """
    share = resampling.independent_share
    return [
        with_intervals(
            {metric.name: metric.compute(task) for metric in chosen},
            {metric.name: note for metric in chosen if (note := metric.note(task))},
            samples,
            {
                # As many trials as groups, as examples of one patient are not independent.
                metric.name: (count * share, total * share)
                for metric in chosen
                if metric.counts
                for count, total in [metric.counts(task)]
            },
        )
        for (chosen, task), samples in zip(tasks, resample(tasks, resampling), strict=True)
    ]


def evaluate_classes(
    task: Multiclass, class_names: Sequence[str], resampling: Resampling
) -> Statistics:
    """Computes all metrics of a task, and of each of its classes against the rest.

    Args:
        task: labels and probabilities.
        class_names: names of the classes in the order of their labels.
        resampling: bootstrap resamples of its examples.

    Returns:
        The statistics.
    """
    binary = [task.one_against_rest(index) for index in range(task.num_classes)]
    of_classes = [(metrics.PER_CLASS, of_class) for of_class in binary]
    headline, *numbers = evaluate([(metrics.HEADLINE, task), *of_classes], resampling)
    confusion = confusion_matrix(task.labels, task.predicted, labels=range(task.num_classes))
    return Statistics(
        examples=len(task.labels),
        values=headline.values,
        why=headline.why,
        per_class={
            name: _class_statistics(of_class, found)
            for name, of_class, found in zip(class_names, binary, numbers, strict=True)
        },
        confusion_matrix=confusion.tolist(),
        intervals=headline.intervals,
    )


def resample(tasks: Sequence[Task], resampling: Resampling) -> list[dict[str, np.ndarray]]:
    """Computes metrics in every resample.

    Args:
        tasks: as for `evaluate`.
        resampling: bootstrap resamples of their examples.

    Returns:
        For each task, `[resamples] float` by metric; NaN if undefined.
    """

    def of_weights(weights: np.ndarray) -> dict[tuple[int, str], np.ndarray]:
        with np.errstate(divide="ignore", invalid="ignore"):
            return {
                (index, metric.name): metric.resample(weighted)
                for index, (chosen, task) in enumerate(tasks)
                for weighted in [dataclasses.replace(task, weights=weights)]
                for metric in chosen
            }

    samples = resampling.samples(of_weights)
    return [
        {metric.name: samples[index, metric.name] for metric in chosen}
        for index, (chosen, _) in enumerate(tasks)
    ]


def with_intervals(
    values: dict[str, float | None],
    notes: dict[str, str],
    samples: dict[str, np.ndarray],
    counts: Mapping[str, tuple[float, float]],
) -> Numbers:
    """Adds intervals to values.

    Args:
        values: value by metric.
        notes: note on the value, by metric.
        samples: `[resamples] float` by metric.
        counts: numerator and denominator of metrics that are proportions.

    Returns:
        The metrics; remarks on an interval are appended to the note.
    """
    why, intervals = dict(notes), {}
    for name, value in values.items():
        found, remark = None, None
        if value is not None:
            found, remark = interval(samples[name], counts.get(name))
        intervals[name] = found
        if remark:
            why[name] = f"{why[name]}; {remark}" if name in why else remark
    return Numbers(values, why, intervals)


def _class_statistics(task: Binary, numbers: Numbers) -> ClassStatistics:
    other_names = {"precision": metrics.PPV.name, "recall": metrics.SENSITIVITY.name}
    undefined = {
        other: numbers.why[name]
        for other, name in other_names.items()
        if numbers.values[name] is None
    }
    return ClassStatistics(
        values=numbers.values,
        **{other: numbers.values[name] for other, name in other_names.items()},
        support=int(task.labels.sum()),
        why=numbers.why | undefined,
        intervals=numbers.intervals,
    )
