"""Estimates of a configuration: mean, intervals and variance of each metric."""

import dataclasses
from typing import Annotated

import numpy as np

from trainer.evaluation.intervals import Interval
from trainer.evaluation.json_content import INLINE
from trainer.evaluation.resampling import Resampling
from trainer.evaluation.statistics import resample, with_intervals
from trainer.evaluation.study.corrected_t import RunMean, corrected_resampled_t
from trainer.evaluation.study.grid import Grid
from trainer.evaluation.study.run_metrics import METRICS
from trainer.evaluation.study.variance import VarianceParts, decompose, sampling_covariance

_ONE_RUN = "a single run does not show the spread over seeds or splits"


@dataclasses.dataclass(frozen=True)
class RunNumbers:
    """The metrics of one run.

    Attributes:
        seed: seed of the run; None for an ensemble or a plan without seeds.
        fold: fold that it was tested on; None without folds.
        examples: number of examples that it was tested on.
        values: value by metric; None if undefined.
    """

    seed: int | None
    fold: int | None
    examples: int
    values: Annotated[dict[str, float | None], INLINE]


@dataclasses.dataclass(frozen=True)
class MetricEstimate:
    """One metric over the runs of a configuration.

    Attributes:
        over_runs: mean over the runs, with the t interval; None if a run lacks the metric.
        why: why `over_runs` is None; else None.
        pooled: value on all test examples together, averaged over the seeds.
        pooled_interval: bootstrap percentile interval over the examples, with the runs fixed.
        pooled_why: note on the pooled value and interval; None if there is none.
    """

    over_runs: RunMean | None
    why: str | None
    pooled: float | None
    pooled_interval: Interval | None
    pooled_why: str | None


@dataclasses.dataclass(frozen=True)
class Configuration:
    """A configuration, or the ensemble of its seeds.

    Attributes:
        name: name of the configuration.
        members: number of averaged seeds; 1: no ensemble.
        seeds: seeds with all of their runs finished.
        runs: the metrics of each run.
        metrics: estimate by metric.
        variance: components of the accuracy's variance; None for an ensemble or a single run.
        variance_why: why `variance` is None; else None.
    """

    name: str
    members: int
    seeds: list[int | None]
    runs: list[RunNumbers]
    metrics: dict[str, MetricEstimate]
    variance: VarianceParts | None
    variance_why: str | None

    @property
    def title(self) -> str:
        """Display name."""
        return self.name if self.members == 1 else f"{self.name}, ensemble of {self.members} seeds"


def estimate(grid: Grid, resampling: Resampling) -> Configuration:
    """Estimates the metrics of a configuration from its runs.

    Args:
        grid: the runs of the configuration.
        resampling: bootstrap resamples of the pooled test examples.

    Returns:
        The estimates.
    """
    runs = run_numbers(grid)
    variance, why = _variance(grid)
    return Configuration(
        name=grid.name,
        members=grid.members,
        seeds=grid.seeds,
        runs=runs,
        metrics=_metrics(grid, runs, resampling),
        variance=variance,
        variance_why=why,
    )


def run_numbers(grid: Grid) -> list[RunNumbers]:
    """Returns the metrics of each run, by seed, then by fold."""
    return [
        RunNumbers(
            seed, fold, len(task.labels), {metric.name: metric.compute(task) for metric in METRICS}
        )
        for seed, row in zip(grid.seeds, grid.tasks, strict=True)
        for fold, task in zip(grid.folds, row, strict=True)
    ]


def _metrics(
    grid: Grid, runs: list[RunNumbers], resampling: Resampling
) -> dict[str, MetricEstimate]:
    tasks = [grid.pooled(row) for row in range(len(grid.seeds))]
    samples = resample([(METRICS, task) for task in tasks], resampling)
    pooled = with_intervals(
        {metric.name: _mean([metric.compute(task) for task in tasks]) for metric in METRICS},
        {metric.name: note for metric in METRICS if (note := metric.note(tasks[0]))},
        {name: np.mean([drawn[name] for drawn in samples], axis=0) for name in samples[0]},
        {},
    )
    found = {}
    for name, value in pooled.values.items():
        over_runs, why = _over_runs([run.values[name] for run in runs], grid.test_to_train)
        found[name] = MetricEstimate(
            over_runs, why, value, pooled.intervals[name], pooled.why.get(name)
        )
    return found


def _over_runs(
    values: list[float | None], test_to_train: float
) -> tuple[RunMean | None, str | None]:
    """Returns the mean over the runs, or why there is none."""
    defined = [value for value in values if value is not None]
    if len(defined) < len(values):
        return None, f"{len(values) - len(defined)} of {len(values)} runs have no such number"
    return corrected_resampled_t(defined, test_to_train), None


def _mean(values: list[float | None]) -> float | None:
    defined = [value for value in values if value is not None]
    return float(np.mean(defined)) if len(defined) == len(values) else None


def _variance(grid: Grid) -> tuple[VarianceParts | None, str | None]:
    if grid.members > 1:
        return None, "an ensemble has averaged its seeds"
    if len(grid.seeds) * len(grid.folds) == 1:
        return None, _ONE_RUN
    tasks = grid.tasks
    sampling = [
        sampling_covariance(np.array([row[fold].right for row in tasks]), cell.labels, cell.groups)
        for fold, cell in enumerate(grid.cells[0])
    ]
    accuracy = np.array([[task.right.mean() for task in row] for row in tasks])
    return decompose(accuracy, np.array(sampling)), None
