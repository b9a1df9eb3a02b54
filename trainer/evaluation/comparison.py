"""Whether one model is better than another on the same examples."""

import itertools
from typing import Any

import numpy as np
from statsmodels.stats.contingency_tables import mcnemar
from statsmodels.stats.multitest import multipletests

from trainer.evaluation.intervals import CONFIDENCE
from trainer.evaluation.resampling import Resampling

SIGNIFICANCE = 1 - CONFIDENCE


def compare(right: dict[str, np.ndarray], resampling: Resampling) -> dict[str, Any]:
    """Compares the accuracies of all models in pairs.

    Args:
        right: name of each model to `[examples] bool`, whether it was right.
        resampling: of the examples; both models of a pair see the same resamples.

    Returns:
        `pairs`, each with `models`, `accuracy_difference` (first minus second), its `interval`,
        `only_first_right`, `only_second_right`, the p-values `mcnemar_p` (exact) and `bootstrap_p`
        (two-sided), and both after Holm's correction over the pairs; `best`, the model that is
        better than every other by interval and corrected p-value, or None; `best_why`.
    """
    pairs = [
        _pair(names, right[names[0]], right[names[1]], resampling)
        for names in itertools.combinations(right, 2)
    ]
    for test in ("mcnemar_p", "bootstrap_p"):
        corrected = multipletests([pair[test] for pair in pairs], method="holm")[1]
        for pair, p_value in zip(pairs, corrected, strict=True):
            pair[f"{test}_holm"] = float(p_value)
    accuracy = {name: float(hits.mean()) for name, hits in right.items()}
    return {"pairs": pairs, **_best(accuracy, pairs)}


def _pair(
    names: tuple[str, str], first: np.ndarray, second: np.ndarray, resampling: Resampling
) -> dict[str, Any]:
    only_first, only_second = int((first & ~second).sum()), int((second & ~first).sum())
    both, neither = int((first & second).sum()), int((~first & ~second).sum())
    table = [[both, only_first], [only_second, neither]]
    gain = first.astype(float) - second
    difference = resampling.samples(lambda w: {"of_accuracy": w @ gain / w.sum(axis=1)})
    values = difference["of_accuracy"]
    tail = SIGNIFICANCE / 2
    return {
        "models": list(names),
        "accuracy_difference": float(gain.mean()),
        "interval": [float(bound) for bound in np.quantile(values, [tail, 1 - tail])],
        "only_first_right": only_first,
        "only_second_right": only_second,
        "mcnemar_p": float(mcnemar(table, exact=True).pvalue),
        "bootstrap_p": _two_sided(values),
    }


def _two_sided(values: np.ndarray) -> float:
    """Twice the smaller share of resamples on one side of 0, counting the one that was seen."""
    below, above = np.sum(values <= 0) + 1, np.sum(values >= 0) + 1
    return float(min(1.0, 2 * min(below, above) / (len(values) + 1)))


def _best(accuracy: dict[str, float], pairs: list[dict[str, Any]]) -> dict[str, Any]:
    leader = max(accuracy, key=accuracy.get)
    beaten = {
        other
        for pair in pairs
        for other in pair["models"]
        if leader in pair["models"] and other != leader and _decided(pair)
    }
    undecided = [name for name in accuracy if name not in beaten | {leader}]
    highest = f"{leader} has the highest accuracy, {accuracy[leader]:.1%}"
    if undecided:
        why = (
            f"{highest}, but these examples do not support calling it better than "
            f"{', '.join(undecided)}: the interval of the difference includes 0, or the "
            "difference does not survive Holm's correction"
        )
        return {"best": None, "best_why": why}
    why = f"{highest}, and the difference to every other model is above chance after correction"
    return {"best": leader, "best_why": why}


def _decided(pair: dict[str, Any]) -> bool:
    low, high = pair["interval"]
    return (low > 0 or high < 0) and pair["bootstrap_p_holm"] < SIGNIFICANCE
