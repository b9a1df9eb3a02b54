"""Prediction sets: the classes that a radiograph may have, so that the true one is among them.

Split conformal prediction (Vovk, Gammerman and Shafer, 2005) with the score 1 - probability
(Sadinle, Lei and Wasserman, 2019): where the probabilities are right, no other sets of this
coverage are smaller on average. A set may be empty: then no class is as probable as the true one
mostly is.
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
    """How sets of one kind do.

    Attributes:
        numbers: the metrics of `METRICS`; their intervals take the quantiles as given.
        per_class: the same of the examples of each class.
        by_source: the same of each source; None if nobody knows the sources.
    """

    numbers: Annotated[Numbers, INLINE]
    per_class: dict[str, Numbers]
    by_source: dict[str, Numbers] | None


@dataclasses.dataclass(frozen=True)
class Conformal:
    """Sets of both kinds.

    Attributes:
        nominal_coverage: what they are made for, 0 to 1.
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
    """Chooses the quantiles: a class is in the set if 1 - its probability is at most its quantile.

    Args:
        labels: `[examples] int`.
        probabilities: `[examples, classes] float`.
        groups: `[examples]`, as in `conformal_quantile`.
        class_names: names of the classes.

    Returns:
        `nominal_coverage`; `quantile`, of all classes (marginal); `quantiles`, class to its own
        (class-conditional or Mondrian; Vovk, 2012). None stands for infinity, which JSON does not
        have: the class is in every set. `range` and `ranges`, what such sets cover, by
        `coverage_range`.
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
    """What sets cover in 95 % of the validation splits of a size, by the luck of the draw.

    The coverage of new examples, given the split, has a beta distribution where scores have no ties
    (Vovk, 2012; Angelopoulos and Bates, 2023).

    Args:
        size: groups in the split.

    Returns:
        Its 2.5 % and 97.5 % quantiles; 1 and 1 where the quantile is infinite.
    """
    # Rounded first: 0.9 * 10 may come out a little above 9.
    rank = int(np.ceil(np.round(COVERAGE * (size + 1), 6)))
    if rank > size:
        return 1.0, 1.0
    low, high = stats.beta(rank, size + 1 - rank).interval(CONFIDENCE)
    return float(low), float(high)


def conformal_quantile(scores: np.ndarray, groups: np.ndarray | None) -> float | None:
    """The quantile that a new score exceeds with a probability of at most 10 %.

    With n scores it is the ceil(0.9 (n + 1))-th smallest (Angelopoulos and Bates, 2023), infinite
    where n < 9. Ties make the coverage higher, never lower. Copies of a radiograph, or those of a
    patient, are not exchangeable with those of others, but the groups are: each group counts as
    one, shared evenly by its scores (Lee, Barber and Willett, 2023), and the promise is about one
    radiograph of a new group.

    Args:
        scores: `[examples] float`.
        groups: `[examples]`, the same for all that belong together; None: each is its own.

    Returns:
        The quantile; None where it is infinite.
    """
    shares = np.ones(len(scores))
    if groups is not None:
        _, group_of, sizes = np.unique(groups, return_inverse=True, return_counts=True)
        shares = 1 / sizes[group_of]
    # The new score, of which nothing is known, counts as one that is infinite. The level is a
    # little lower, so that a sum of thirds that comes out below 9 of 10 reaches it.
    found = np.quantile(
        np.append(scores, np.inf),
        COVERAGE - 1e-12,
        weights=np.append(shares, 1),
        method="inverted_cdf",
    )
    return float(found) if np.isfinite(found) else None


def members(probabilities: np.ndarray, quantiles: Sequence[float | None]) -> np.ndarray:
    """Which classes are in which set.

    Args:
        probabilities: `[examples, classes] float`.
        quantiles: of each class; None where it is infinite.

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
    """How sets do whose quantiles were chosen elsewhere.

    Args:
        task: labels and probabilities.
        fitted: what `fit_quantiles` returned.
        class_names: names of the classes.
        sources: `[examples] str`; None if nobody knows.
        resampling: of the examples.

    Returns:
        Sets of both kinds.
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
