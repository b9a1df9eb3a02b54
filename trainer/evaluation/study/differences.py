"""Comparison of configurations by runs with the same seed and fold."""

import dataclasses
import itertools
from collections.abc import Sequence

from statsmodels.stats.multitest import multipletests

from trainer.evaluation.comparison import SIGNIFICANCE
from trainer.evaluation.metrics import ACCURACY
from trainer.evaluation.study.corrected_t import RunMean, corrected_resampled_t
from trainer.evaluation.study.estimates import Configuration
from trainer.evaluation.study.grid import Grid
from trainer.evaluation.study.run_metrics import METRICS


@dataclasses.dataclass(frozen=True)
class Difference:
    """The first configuration's metric minus the second's.

    Attributes:
        configurations: names of the two configurations.
        metric: name of the metric.
        over_runs: mean, interval and test over the pairs of runs.
        p_holm: the p-value after Holm's correction over all pairs and metrics; None without one.
    """

    configurations: tuple[str, str]
    metric: str
    over_runs: RunMean
    p_holm: float | None

    @property
    def is_significant(self) -> bool:
        """Whether the difference is significant after the correction."""
        return self.p_holm is not None and self.p_holm < SIGNIFICANCE


@dataclasses.dataclass(frozen=True)
class Differences:
    """Pairwise comparison of all configurations.

    Attributes:
        found: the difference of each pair and metric.
        tests: number of p-values in Holm's correction.
        not_compared: pairs without a common seed, and metrics that a run lacks, as sentences.
    """

    found: list[Difference]
    tests: int
    not_compared: list[str]

    def of_accuracy(self) -> list[Difference]:
        """The differences in accuracy."""
        return [one for one in self.found if one.metric == ACCURACY.name]


def compare_configurations(
    grids: Sequence[Grid], configurations: Sequence[Configuration]
) -> Differences:
    """Compares each pair of configurations in every metric.

    Runs of the same seed and fold form a pair: they were trained and tested on the same examples.

    Args:
        grids: grids of the configurations.
        configurations: the estimates of each, in the same order.

    Returns:
        The differences, with Holm's (1979) correction of the p-values over all of them.
    """
    found, not_compared = [], []
    for one, other in itertools.combinations(range(len(grids)), 2):
        names = grids[one].name, grids[other].name
        pairs = _pairs(configurations[one], configurations[other])
        if not pairs:
            not_compared.append(f"{names[0]} and {names[1]} have no seed in common")
            continue
        ratio = grids[one].test_to_train
        for metric in METRICS:
            gains = [
                first - second
                for first, second in ((a[metric.name], b[metric.name]) for a, b in pairs)
                if first is not None and second is not None
            ]
            if len(gains) < len(pairs):
                not_compared.append(f"{metric.label} of {names[0]} and {names[1]}: a run has none")
                continue
            over_runs = corrected_resampled_t(gains, ratio)
            found.append(Difference(names, metric.name, over_runs, None))
    return _holm(found, not_compared)


def _pairs(
    one: Configuration, other: Configuration
) -> list[tuple[dict[str, float | None], dict[str, float | None]]]:
    """Returns the metrics of the pairs of runs with the same seed and fold."""
    others = {(run.seed, run.fold): run.values for run in other.runs}
    return [
        (run.values, others[run.seed, run.fold])
        for run in one.runs
        if (run.seed, run.fold) in others
    ]


def _holm(found: list[Difference], not_compared: list[str]) -> Differences:
    p_values = [one.over_runs.p_value for one in found if one.over_runs.p_value is not None]
    corrected = iter(multipletests(p_values, method="holm")[1] if p_values else ())
    found = [
        one
        if one.over_runs.p_value is None
        else dataclasses.replace(one, p_holm=float(next(corrected)))
        for one in found
    ]
    return Differences(found, len(p_values), not_compared)
