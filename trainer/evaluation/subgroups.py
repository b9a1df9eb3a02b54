"""Whether a model is worse for some: by site, sex, age, view and device, beside all others."""

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Annotated

import numpy as np
from statsmodels.stats.multitest import multipletests

from trainer.evaluation import metrics
from trainer.evaluation.intervals import Interval, percentile_interval, two_sided_p
from trainer.evaluation.json_content import INLINE
from trainer.evaluation.resampling import Resampling
from trainer.evaluation.statistics import Numbers, evaluate
from trainer.evaluation.tasks import Multiclass


@dataclasses.dataclass(frozen=True)
class Subgroup:
    """The examples that share a value of an attribute, such as all of one site.

    Attributes:
        examples: how many.
        groups: of how many patients or copies; None if nobody knows.
        support: class to its number of examples.
        numbers: the metrics of `metrics.HEADLINE`.
        difference: its accuracy minus that of all other examples; None if there are none.
        difference_interval: of it; None where there is none.
        p: two-sided, of the bootstrap, that the difference is 0; None likewise.
        p_holm: the p-value after Holm's correction over all subgroups of all attributes.
    """

    examples: int
    groups: int | None
    support: dict[str, int]
    numbers: Annotated[Numbers, INLINE]
    difference: float | None
    difference_interval: Interval | None
    p: float | None
    p_holm: float | None


def evaluate_subgroups(
    attributes: Mapping[str, np.ndarray],
    task: Multiclass,
    class_names: Sequence[str],
    resampling: Resampling,
) -> dict[str, dict[str, Subgroup]]:
    """Evaluates the examples of each value of each attribute.

    A patient may have examples inside and outside of a subgroup: the difference is that of both
    in the same resamples.

    Args:
        attributes: name to `[examples] str`.
        task: labels and probabilities.
        class_names: names of the classes.
        resampling: of the examples.

    Returns:
        Attribute to value to the subgroup.
    """
    rows_of = {
        (name, str(value)): values == value
        for name, values in attributes.items()
        for value in np.unique(values)
    }
    right = task.right.astype(float)
    parts = np.array([*rows_of.values()]).T.astype(float)

    def differences(weights: np.ndarray) -> dict[str, np.ndarray]:
        with np.errstate(divide="ignore", invalid="ignore"):
            inside = (weights * right) @ parts / (weights @ parts)
            outside = (weights * right) @ (1 - parts) / (weights @ (1 - parts))
        return {"difference": inside - outside}

    samples = resampling.samples(differences)["difference"].T if rows_of else []
    found: dict[str, dict[str, Subgroup]] = {name: {} for name in attributes}
    p_holm = _holm(dict(zip(map(_partition, rows_of.values()), samples, strict=True)))
    for ((name, value), rows), drawn in zip(rows_of.items(), samples, strict=True):
        found[name][value] = _subgroup(
            rows, task, class_names, resampling, drawn, p_holm[_partition(rows)]
        )
    return found


def _subgroup(
    rows: np.ndarray,
    task: Multiclass,
    class_names: Sequence[str],
    resampling: Resampling,
    samples: np.ndarray,
    p_holm: float | None,
) -> Subgroup:
    part = resampling.part(rows)
    inside = Multiclass(task.labels[rows], task.probabilities[rows])
    (numbers,) = evaluate([(metrics.HEADLINE, inside)], part)
    drawn = samples[~np.isnan(samples)]
    counts = np.bincount(inside.labels, minlength=len(class_names))
    return Subgroup(
        examples=int(rows.sum()),
        groups=None if part.groups is None else len(set(part.groups)),
        support=dict(zip(class_names, counts.tolist(), strict=True)),
        numbers=numbers,
        difference=None
        if rows.all()
        else float(task.right[rows].mean() - task.right[~rows].mean()),
        difference_interval=percentile_interval(drawn) if len(drawn) else None,
        p=two_sided_p(drawn) if len(drawn) else None,
        p_holm=p_holm,
    )


def _partition(rows: np.ndarray) -> bytes:
    """The same for a subgroup and all others, as of two sexes: they are one test."""
    return (rows ^ rows[0]).tobytes()


def _holm(samples: Mapping[bytes, np.ndarray]) -> dict[bytes, float | None]:
    drawn = {key: values[~np.isnan(values)] for key, values in samples.items()}
    tested = {key: two_sided_p(values) for key, values in drawn.items() if len(values)}
    corrected = multipletests([*tested.values()], method="holm")[1].tolist() if tested else []
    return dict.fromkeys(samples) | dict(zip(tested, corrected, strict=True))
