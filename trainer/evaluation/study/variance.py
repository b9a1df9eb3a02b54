"""Which part of the runs' variance is the seed, which the split, which the test sample.

The model, of the accuracy of seed s on fold f, is the two-way crossed random model without
replication (Searle, Casella and McCulloch, 1992, "Variance Components", chapter 4):

    y[s, f] = mean + seed[s] + split[f] + seed_in_fold[s, f] + test_sample[s, f]

The parts are independent of each other, except that the seeds of one fold are tested on the same
examples: their test samples' errors have a covariance. Per-example answers give the variance of
those errors and that covariance, which are taken off what the mean squares of the analysis of
variance estimate. Bouthillier et al. (2021), "Accounting for variance in machine learning
benchmarks", name these sources.
"""

import dataclasses
import math

import numpy as np

SEED, SEED_IN_FOLD, SPLIT, TEST_SAMPLE = "seed", "seed_in_fold", "split", "test_sample"


@dataclasses.dataclass(frozen=True)
class Component:
    """One source of the variance of a run's accuracy.

    Attributes:
        estimate: by the method of moments, without bias; chance can make it negative.
        variance: the same, 0 where it is negative.
        sd: its square root, in shares of the examples as the accuracy is.
        share: of the sum of all variances; None where that is 0.
    """

    estimate: float
    variance: float
    sd: float
    share: float | None


@dataclasses.dataclass(frozen=True)
class VarianceParts:
    """The variance of one run's accuracy by its sources.

    Attributes:
        components: source to component; a source that the plan does not vary is missing.
        covariance: of the test samples' errors of two seeds on the same examples; None for one
            seed.
    """

    components: dict[str, Component]
    covariance: float | None

    def share(self, *sources: str) -> float | None:
        """The share of some sources together; None where it is unknown."""
        shares = [self.components[name].share for name in sources if name in self.components]
        known = [share for share in shares if share is not None]
        return sum(known) if known else None


def sampling_covariance(
    right: np.ndarray, labels: np.ndarray, groups: np.ndarray | None
) -> np.ndarray:
    """Variances and covariances of runs' accuracies that come from the sample of test examples.

    The examples of each class count as a sample of that class, as folds are dealt class by class:
    stratified sampling, in it the linearized variance between groups (Cochran, 1977, "Sampling
    Techniques", chapters 5 and 9). Of one class, with each example its own group, that is the
    binomial variance `p (1 - p) / (n - 1)`.

    Args:
        right: `[runs, examples] bool`, whether each run is right, on the same examples.
        labels: `[examples] int`. A group with several classes counts as the class of its first
            example.
        groups: `[examples]`, the same for examples that are no independent draws, such as those of
            one patient; None: each is its own.

    Returns:
        `[runs, runs] float`.
    """
    groups = np.arange(len(labels)) if groups is None else groups
    _, first, group_of = np.unique(groups, return_index=True, return_inverse=True)
    class_of_group = labels[first]
    total = np.zeros((len(right), len(right)))
    for label in np.unique(class_of_group):
        members = class_of_group[group_of] == label
        deviations = right[:, members] - right[:, members].mean(axis=1, keepdims=True)
        of_groups = np.array([np.bincount(group_of[members], weights=row) for row in deviations])
        count = np.sum(class_of_group == label)
        # A single group deviates by 0: nothing is known of its spread.
        total += count / max(1, count - 1) * (of_groups @ of_groups.T)
    return total / len(labels) ** 2


def decompose(accuracy: np.ndarray, sampling: np.ndarray) -> VarianceParts:
    """Decomposes the variance of accuracies by the method of moments.

    Args:
        accuracy: `[seeds, folds] float`; two runs or more.
        sampling: `[folds, seeds, seeds] float`, of each fold what `sampling_covariance` gives.

    Returns:
        The parts. With one seed, `split` is all that differs between folds, the seed among it; with
        one fold, `seed` is all that a seed changes.
    """
    seeds, folds = accuracy.shape
    diagonal = np.trace(sampling, axis1=1, axis2=2)
    test_sample = float(diagonal.mean() / seeds)
    if seeds == 1:
        estimates = {SPLIT: accuracy.var(ddof=1) - test_sample, TEST_SAMPLE: test_sample}
        return _parts(estimates, None)
    off_diagonal = sampling.sum(axis=(1, 2)) - diagonal
    covariance = float(off_diagonal.mean() / (seeds * (seeds - 1)))
    unshared = test_sample - covariance
    if folds == 1:
        estimates = {SEED: accuracy.var(ddof=1) - unshared, TEST_SAMPLE: test_sample}
        return _parts(estimates, covariance)
    of_seeds, of_folds, of_rest = _mean_squares(accuracy)
    estimates = {
        SEED: (of_seeds - of_rest) / folds,
        SEED_IN_FOLD: of_rest - unshared,
        SPLIT: (of_folds - of_rest) / seeds - covariance,
        TEST_SAMPLE: test_sample,
    }
    return _parts(estimates, covariance)


def _mean_squares(table: np.ndarray) -> tuple[float, float, float]:
    """Of the rows, of the columns and of the rest, in a table of one value a cell."""
    rows, columns = table.shape
    of_rows, of_columns = table.mean(axis=1), table.mean(axis=0)
    rest = table - of_rows[:, None] - of_columns + table.mean()
    return (
        columns * of_rows.var(ddof=1),
        rows * of_columns.var(ddof=1),
        (rest**2).sum() / ((rows - 1) * (columns - 1)),
    )


def _parts(estimates: dict[str, float], covariance: float | None) -> VarianceParts:
    shown = {name: max(0.0, float(value)) for name, value in estimates.items()}
    total = sum(shown.values())
    components = {
        name: Component(
            estimate=float(value),
            variance=shown[name],
            sd=math.sqrt(shown[name]),
            share=shown[name] / total if total else None,
        )
        for name, value in estimates.items()
    }
    return VarianceParts(components, covariance)
