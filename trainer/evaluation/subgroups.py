"""Performance by site, sex, age, view and device, compared with all other examples."""

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
        examples: number of examples.
        groups: number of patients or groups of copies; None if unknown.
        support: number of examples by class.
        numbers: the metrics of `metrics.HEADLINE`.
        difference: accuracy minus that of all other examples; None if there are no others.
        difference_interval: interval of the difference; None if there is none.
        p: two-sided bootstrap p-value for no difference; None if there is none.
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

    A patient may have examples inside and outside a subgroup, so both are computed in the same
    resamples.

    Args:
        attributes: `[examples] str` by attribute name.
        task: labels and probabilities.
        class_names: names of the classes.
        resampling: bootstrap resamples of the examples.

    Returns:
        The subgroups by attribute and value.
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
    """Returns a key equal for a subgroup and its complement, such as two sexes: one test."""
    return (rows ^ rows[0]).tobytes()


def _holm(samples: Mapping[bytes, np.ndarray]) -> dict[bytes, float | None]:
    drawn = {key: values[~np.isnan(values)] for key, values in samples.items()}
    tested = {key: two_sided_p(values) for key, values in drawn.items() if len(values)}
    corrected = multipletests([*tested.values()], method="holm")[1].tolist() if tested else []
    return dict.fromkeys(samples) | dict(zip(tested, corrected, strict=True))
