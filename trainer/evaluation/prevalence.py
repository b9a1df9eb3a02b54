"""PPV and NPV at a prevalence other than that of the examples."""

import dataclasses
from collections.abc import Callable, Sequence
from typing import Annotated

import numpy as np

from trainer.errors import UserError
from trainer.evaluation.json_content import INLINE
from trainer.evaluation.metrics import NPV, PPV, SENSITIVITY, SPECIFICITY, Metric
from trainer.evaluation.statistics import Numbers
from trainer.evaluation.tasks import Binary

# Values of one task, or of each resample.
_Rates = np.ndarray | float


@dataclasses.dataclass(frozen=True)
class AtPrevalence:
    """PPV and NPV at a prevalence.

    Attributes:
        prevalence: share of the class, 0 to 1.
        numbers: `ppv` and `npv`.
    """

    prevalence: float
    numbers: Annotated[Numbers, INLINE]


def parse_prevalences(texts: Sequence[float | str]) -> tuple[float, ...]:
    """Parses the numbers of --prevalence, without duplicates.

    Raises:
        UserError: a value is not a number between 0 and 1.
    """
    found = []
    for text in texts:
        try:
            found.append(float(text))
        except ValueError:
            found.append(np.nan)
        if not 0 < found[-1] < 1:
            raise UserError(
                f"--prevalence={text}: expected numbers between 0 and 1, such as 0.02,0.1"
            )
    return tuple(dict.fromkeys(found))


def predictive_values(prevalence: float) -> tuple[Metric, Metric]:
    """Computes PPV and NPV from sensitivity and specificity with Bayes' theorem.

    The interval uses both values of the same resamples; the prevalence is treated as exact.

    Args:
        prevalence: share of the class, between 0 and 1.

    Returns:
        Metrics of a `Binary` task.
    """

    def ppv(sensitivity: _Rates, specificity: _Rates) -> _Rates:
        found = sensitivity * prevalence
        return found / (found + (1 - specificity) * (1 - prevalence))

    def npv(sensitivity: _Rates, specificity: _Rates) -> _Rates:
        cleared = specificity * (1 - prevalence)
        return cleared / (cleared + (1 - sensitivity) * prevalence)

    return _by_bayes(PPV, ppv), _by_bayes(NPV, npv)


def _by_bayes(metric: Metric, combine: Callable[[_Rates, _Rates], _Rates]) -> Metric:
    """Creates a metric from sensitivity and specificity; undefined if `metric` is."""

    def note(task: Binary) -> str | None:
        return SENSITIVITY.note(task) or SPECIFICITY.note(task) or metric.note(task)

    def resample(task: Binary) -> np.ndarray:
        return np.asarray(combine(SENSITIVITY.resample(task), SPECIFICITY.resample(task)))

    def compute(task: Binary) -> float | None:
        if note(task):
            return None
        return float(combine(SENSITIVITY.compute(task), SPECIFICITY.compute(task)))

    return dataclasses.replace(metric, compute=compute, resample=resample, note=note, counts=None)
