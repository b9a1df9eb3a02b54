"""Decomposes the variance between runs into seed, split and test sample.

The model for the accuracy of seed s on fold f is the two-way crossed random model without
replication (Searle, Casella and McCulloch, 1992, "Variance Components", chapter 4):

    y[s, f] = mean + seed[s] + split[f] + seed_in_fold[s, f] + test_sample[s, f]

The components are independent, except that the seeds of one fold are tested on the same examples,
so their test-sample errors are correlated. The variance and covariance of these errors are
estimated from the per-example predictions and subtracted from the estimates of the ANOVA mean
squares. Bouthillier et al. (2021), "Accounting for variance in machine learning benchmarks", name
these sources.
"""

import dataclasses
import math

import numpy as np

SEED, SEED_IN_FOLD, SPLIT, TEST_SAMPLE = "seed", "seed_in_fold", "split", "test_sample"


@dataclasses.dataclass(frozen=True)
class Component:
    """One source of the variance of a run's accuracy.

    Attributes:
        estimate: unbiased estimate by the method of moments; may be negative by chance.
        variance: the estimate, or 0 if it is negative.
        sd: square root of the variance, as a proportion like the accuracy.
        share: share of the sum of all variances; None if the sum is 0.
    """

    estimate: float
    variance: float
    sd: float
    share: float | None


@dataclasses.dataclass(frozen=True)
class VarianceParts:
    """The variance of one run's accuracy by its sources.

    Attributes:
        components: component by source, without sources that the plan does not vary.
        covariance: covariance of the test-sample errors of two seeds on the same examples; None for
            a single seed.
    """

    components: dict[str, Component]
    covariance: float | None

    def share(self, *sources: str) -> float | None:
        """Returns the combined share of some sources; None if unknown."""
        shares = [self.components[name].share for name in sources if name in self.components]
        known = [share for share in shares if share is not None]
        return sum(known) if known else None


def sampling_covariance(
    right: np.ndarray, labels: np.ndarray, groups: np.ndarray | None
) -> np.ndarray:
    """Estimates the covariance of runs' accuracies due to the sampling of test examples.

    Examples are treated as a stratified sample by class, as folds are stratified, with the
    linearized variance between groups within a class (Cochran, 1977, "Sampling Techniques",
    chapters 5 and 9). For one class, with each example its own group, this is the binomial variance
    `p (1 - p) / (n - 1)`.

    Args:
        right: `[runs, examples] bool`, whether each run is correct, on the same examples.
        labels: `[examples] int`. A group with several classes belongs to the class of its first
            example.
        groups: `[examples]`, equal for dependent examples, such as those of one patient; None:
            every example is a group.

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
        # A single group has no deviation: its spread is unknown.
        total += count / max(1, count - 1) * (of_groups @ of_groups.T)
    return total / len(labels) ** 2


def decompose(accuracy: np.ndarray, sampling: np.ndarray) -> VarianceParts:
    """Decomposes the variance of accuracies by the method of moments.

    Args:
        accuracy: `[seeds, folds] float`; two runs or more.
        sampling: `[folds, seeds, seeds] float`, the result of `sampling_covariance` for each fold.

    Returns:
        The components. With one seed, `split` includes every difference between folds, including
        the seed's; with one fold, `seed` includes all effects of the seed.
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
    """Returns the mean squares of rows, columns and residuals in a table of one value per cell."""
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
