"""Prediction sets: sets of classes that contain the true one with a chosen probability.

Split conformal prediction (Vovk, Gammerman and Shafer, 2005) with the score 1 - probability
(Sadinle, Lei and Wasserman, 2019): if the probabilities are correct, no other sets with this
coverage are smaller on average. A set is empty if no class is as probable as true classes usually
are.
"""

import dataclasses
from collections.abc import Callable, Sequence
from typing import Annotated, Any

import numpy as np
from scipy import stats

from trainer.evaluation.intervals import CONFIDENCE, Interval
from trainer.evaluation.json_content import INLINE
from trainer.evaluation.metrics import Metric
from trainer.evaluation.resampling import Resampling
from trainer.evaluation.statistics import Numbers, evaluate
from trainer.evaluation.tasks import Multiclass, Sets, weighted_mean

COVERAGE = 0.9


def _metric(name: str, label: str, values: Callable[[Sets], np.ndarray], **more: Any) -> Metric:
    return Metric(
        name,
        label,
        compute=lambda task: float(values(task).mean()),
        resample=lambda task: weighted_mean(task.weights, values(task)),
        **more,
    )


def _share(name: str, label: str, values: Callable[[Sets], np.ndarray]) -> Metric:
    return _metric(name, label, values, counts=lambda task: (values(task).sum(), len(task.labels)))


METRICS = (
    _share("coverage", "Coverage", lambda task: task.covered),
    _metric("mean_size", "Mean set size", lambda task: task.sizes, digits=2),
    _share("single", "Single-class sets", lambda task: task.sizes == 1),
    _share("empty", "Empty sets", lambda task: task.sizes == 0),
    _share("full", "Full sets", lambda task: task.sizes == task.members.shape[1]),
)


@dataclasses.dataclass(frozen=True)
class PredictionSets:
    """Evaluation of one kind of prediction sets.

    Attributes:
        numbers: the metrics of `METRICS`; their intervals treat the quantiles as fixed.
        per_class: the same metrics for the examples of each class.
        by_source: the same metrics for each source; None if the sources are unknown.
    """

    numbers: Annotated[Numbers, INLINE]
    per_class: dict[str, Numbers]
    by_source: dict[str, Numbers] | None


@dataclasses.dataclass(frozen=True)
class Conformal:
    """Evaluation of both kinds of prediction sets.

    Attributes:
        nominal_coverage: target coverage of the sets, 0 to 1.
        marginal: one quantile for all classes.
        class_conditional: a quantile for each class.
    """

    nominal_coverage: float
    marginal: PredictionSets
    class_conditional: PredictionSets


def fit_quantiles(
    labels: np.ndarray,
    probabilities: np.ndarray,
    groups: np.ndarray | None,
    class_names: Sequence[str],
) -> dict[str, Any]:
    """Fits the quantiles: a class is in the set if 1 - its probability is at most its quantile.

    Args:
        labels: `[examples] int`.
        probabilities: `[examples, classes] float`.
        groups: `[examples]`, as for `conformal_quantile`.
        class_names: names of the classes.

    Returns:
        `nominal_coverage`; `quantile`, for all classes (marginal); `quantiles`, by class
        (class-conditional or Mondrian; Vovk, 2012). None stands for infinity, which JSON lacks: the
        class is in every set. `range` and `ranges` bound the coverage in 95 % of
        validation splits, by `coverage_range`.
    """
    scores = 1 - probabilities[np.arange(len(labels)), labels]
    groups = np.arange(len(labels)) if groups is None else groups
    rows_of = {name: labels == index for index, name in enumerate(class_names)}
    return {
        "nominal_coverage": COVERAGE,
        "quantile": conformal_quantile(scores, groups),
        "range": coverage_range(len(np.unique(groups))),
        "quantiles": {
            name: conformal_quantile(scores[rows], groups[rows]) for name, rows in rows_of.items()
        },
        "ranges": {
            name: coverage_range(len(np.unique(groups[rows]))) for name, rows in rows_of.items()
        },
    }


def coverage_range(size: int) -> Interval:
    """Returns the coverage in 95 % of the validation splits of a given size.

    The coverage of new examples, given the split, follows a beta distribution if scores have no
    ties (Vovk, 2012; Angelopoulos and Bates, 2023).

    Args:
        size: number of groups in the split.

    Returns:
        The 2.5 % and 97.5 % quantiles of the coverage; 1 and 1 if the fitted quantile is infinite.
    """
    # Rounded first, as 0.9 * 10 may be slightly above 9.
    rank = int(np.ceil(np.round(COVERAGE * (size + 1), 6)))
    if rank > size:
        return 1.0, 1.0
    low, high = stats.beta(rank, size + 1 - rank).interval(CONFIDENCE)
    return float(low), float(high)


def conformal_quantile(scores: np.ndarray, groups: np.ndarray | None) -> float | None:
    """Computes the quantile that a new score exceeds with a probability of at most 10 %.

    With n scores it is the ceil(0.9 (n + 1))-th smallest (Angelopoulos and Bates, 2023), infinite
    if n < 9. Ties only increase the coverage. Radiographs of one patient, or copies, are not
    exchangeable with others, but groups are: each group has a total weight of one, shared evenly by
    its scores (Lee, Barber and Willett, 2023), and the guarantee holds for one radiograph of a new
    group.

    Args:
        scores: `[examples] float`.
        groups: `[examples]`, equal for examples of one group; None: every example is a group.

    Returns:
        The quantile; None if it is infinite.
    """
    shares = np.ones(len(scores))
    if groups is not None:
        _, group_of, sizes = np.unique(groups, return_inverse=True, return_counts=True)
        shares = 1 / sizes[group_of]
    # The unknown new score counts as infinite. The level is slightly lower to allow for rounding,
    # such as thirds that sum to just below 9 of 10.
    found = np.quantile(
        np.append(scores, np.inf),
        COVERAGE - 1e-12,
        weights=np.append(shares, 1),
        method="inverted_cdf",
    )
    return float(found) if np.isfinite(found) else None


def members(probabilities: np.ndarray, quantiles: Sequence[float | None]) -> np.ndarray:
    """Returns which classes are in each set.

    Args:
        probabilities: `[examples, classes] float`.
        quantiles: the quantile of each class; None if it is infinite.

    Returns:
        `[examples, classes] bool`.
    """
    limits = [np.inf if quantile is None else quantile for quantile in quantiles]
    return 1 - probabilities <= np.array(limits)


def evaluate_conformal(
    task: Multiclass,
    fitted: dict[str, Any],
    class_names: Sequence[str],
    sources: np.ndarray | None,
    resampling: Resampling,
) -> Conformal:
    """Evaluates sets whose quantiles were fitted on other examples.

    Args:
        task: labels and probabilities.
        fitted: the result of `fit_quantiles`.
        class_names: names of the classes.
        sources: `[examples] str`; None if unknown.
        resampling: bootstrap resamples of the examples.

    Returns:
        The evaluation of both kinds of sets.
    """

    def evaluated(quantiles: Sequence[float | None]) -> PredictionSets:
        sets = Sets(task.labels, members(task.probabilities, quantiles))
        return _evaluate(sets, class_names, sources, resampling)

    return Conformal(
        nominal_coverage=fitted["nominal_coverage"],
        marginal=evaluated([fitted["quantile"]] * len(class_names)),
        class_conditional=evaluated([fitted["quantiles"][name] for name in class_names]),
    )


def _evaluate(
    sets: Sets, class_names: Sequence[str], sources: np.ndarray | None, resampling: Resampling
) -> PredictionSets:
    def of(rows: np.ndarray) -> Numbers:
        if not rows.any():
            return _undefined("it does not occur")
        part = Sets(sets.labels[rows], sets.members[rows])
        (numbers,) = evaluate([(METRICS, part)], resampling.part(rows))
        return numbers

    numbers = of(sets.labels >= 0)
    if sources is None:
        numbers.why["by_source"] = "nobody said which source each image comes from"
    return PredictionSets(
        numbers=numbers,
        per_class={name: of(sets.labels == index) for index, name in enumerate(class_names)},
        by_source=None
        if sources is None
        else {str(source): of(sources == source) for source in np.unique(sources)},
    )


def _undefined(why: str) -> Numbers:
    names = [metric.name for metric in METRICS]
    nothing: dict[str, Interval | None] = dict.fromkeys(names)
    return Numbers(dict.fromkeys(names), dict.fromkeys(names, why), nothing)
