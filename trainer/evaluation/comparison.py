"""Paired comparison of models on the same examples."""

import dataclasses
import itertools
from collections.abc import Mapping, Sequence

from statsmodels.stats.contingency_tables import mcnemar
from statsmodels.stats.multitest import multipletests

from trainer.evaluation import metrics
from trainer.evaluation.differences import (
    ALL,
    Difference,
    Measurements,
    measure,
    of_headline,
    tested_differences,
    with_holm,
)
from trainer.evaluation.formats import number
from trainer.evaluation.intervals import CONFIDENCE, Interval, percentile_interval, two_sided_p
from trainer.evaluation.resampling import Resampling
from trainer.evaluation.statistics import Numbers
from trainer.evaluation.tasks import Multiclass

SIGNIFICANCE = 1 - CONFIDENCE


@dataclasses.dataclass(frozen=True)
class Pair:
    """Comparison of two models; differences are the first's value minus the second's.

    Attributes:
        models: names of the two models.
        accuracy_difference: the difference in accuracy, which is tested.
        interval: confidence interval of the accuracy difference.
        only_first_right: number of examples that only the first predicts correctly.
        only_second_right: number of examples that only the second predicts correctly.
        mcnemar_p: p-value of McNemar's exact test.
        bootstrap_p: p-value of the paired bootstrap, two-sided.
        mcnemar_p_holm: the p-value of McNemar's test after Holm's correction over all pairs.
        bootstrap_p_holm: the p-value of the bootstrap after Holm's correction over all pairs.
        differences: difference of every metric in `metrics.HEADLINE`; the intervals are not
            corrected.
        tests: the tested differences; their p-values are corrected.
    """

    models: tuple[str, str]
    accuracy_difference: float
    interval: Interval
    only_first_right: int
    only_second_right: int
    mcnemar_p: float
    bootstrap_p: float
    mcnemar_p_holm: float
    bootstrap_p_holm: float
    differences: Numbers
    tests: list[Difference]


@dataclasses.dataclass(frozen=True)
class Comparison:
    """Pairwise comparison of all models.

    Attributes:
        pairs: all pairs of models.
        best: the model whose accuracy is significantly higher than every other's, by interval and
            corrected p-value; None if there is none.
        best_why: explanation of `best`.
    """

    pairs: list[Pair]
    best: str | None
    best_why: str


def compare(
    models: Mapping[str, Multiclass],
    resampling: Resampling,
    class_names: Sequence[str],
    positive: int,
    thresholds: Mapping[str, float | None],
) -> Comparison:
    """Compares all models in pairs.

    Args:
        models: labels and probabilities by model name, for the same examples.
        resampling: bootstrap resamples of the examples, the same for both models of a pair.
        class_names: names of the classes.
        positive: index of the class of the thresholds.
        thresholds: threshold by model name, chosen on other examples; None if there is none.

    Returns:
        The comparison.
    """
    measured = measure(models, class_names, positive, thresholds, resampling)
    pairs = [
        _pair(names, models, measured, of_headline(*(measured[name] for name in names)))
        for names in itertools.combinations(models, 2)
    ]
    of_models = {name: (models[name], measured[name]) for name in models}
    tests = [
        tested_differences(of_models[first], of_models[second], class_names, positive, resampling)
        for first, second in itertools.combinations(models, 2)
    ]
    mcnemar_holm = _holm([pair.mcnemar_p for pair in pairs])
    bootstrap_holm = _holm([pair.bootstrap_p for pair in pairs])
    corrected = zip(pairs, mcnemar_holm, bootstrap_holm, with_holm(tests), strict=True)
    pairs = [
        dataclasses.replace(
            pair, mcnemar_p_holm=of_mcnemar, bootstrap_p_holm=of_bootstrap, tests=of_pair
        )
        for pair, of_mcnemar, of_bootstrap, of_pair in corrected
    ]
    accuracy = {name: float(task.right.mean()) for name, task in models.items()}
    return Comparison(pairs, *_best(accuracy, pairs))


def _pair(
    names: tuple[str, str],
    models: Mapping[str, Multiclass],
    measured: Mapping[str, Measurements],
    differences: Numbers,
) -> Pair:
    first, second = (models[name].right for name in names)
    only_first, only_second = int((first & ~second).sum()), int((second & ~first).sum())
    both, neither = int((first & second).sum()), int((~first & ~second).sum())
    table = [[both, only_first], [only_second, neither]]
    drawn = [measured[name][ALL, metrics.ACCURACY.name].samples for name in names]
    samples = drawn[0] - drawn[1]
    mcnemar_p, bootstrap_p = float(mcnemar(table, exact=True).pvalue), two_sided_p(samples)
    return Pair(
        models=names,
        accuracy_difference=float((first.astype(float) - second).mean()),
        interval=percentile_interval(samples),
        only_first_right=only_first,
        only_second_right=only_second,
        mcnemar_p=mcnemar_p,
        bootstrap_p=bootstrap_p,
        # Set once all pairs are known.
        mcnemar_p_holm=mcnemar_p,
        bootstrap_p_holm=bootstrap_p,
        differences=differences,
        tests=[],
    )


def _holm(p_values: list[float]) -> list[float]:
    return multipletests(p_values, method="holm")[1].tolist()


def _best(accuracy: dict[str, float], pairs: list[Pair]) -> tuple[str | None, str]:
    leader = max(accuracy, key=accuracy.get)
    beaten = {
        other
        for pair in pairs
        for other in pair.models
        if leader in pair.models and other != leader and _decided(pair)
    }
    undecided = [name for name in accuracy if name not in beaten | {leader}]
    highest = f"{leader} has the highest accuracy, {number(accuracy[leader])}"
    if undecided:
        why = (
            f"{highest}, but these examples do not show that it is better than "
            f"{' or '.join(undecided)}: the interval of the difference includes 0, or the "
            "difference does not survive Holm's correction"
        )
        return None, why
    why = f"{highest}, and its difference from every other model is significant after correction"
    return leader, why


def _decided(pair: Pair) -> bool:
    low, high = pair.interval
    return (low > 0 or high < 0) and pair.bootstrap_p_holm < SIGNIFICANCE
