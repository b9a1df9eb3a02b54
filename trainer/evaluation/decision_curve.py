"""Decision curve: the net benefit of acting on a model's probabilities."""

import dataclasses

import numpy as np

from trainer.evaluation.intervals import Interval, interval
from trainer.evaluation.resampling import Resampling

# Threshold probabilities.
_THRESHOLDS = np.arange(1, 100) / 100
_NO_SPREAD = "none at thresholds where all resamples agree"


@dataclasses.dataclass(frozen=True)
class DecisionCurve:
    """Net benefit per example at each threshold probability; treating none has a net benefit of 0.

    Attributes:
        threshold: the threshold probabilities.
        model: net benefit of acting on the model.
        model_interval: its confidence interval at each threshold probability; None if undefined.
        all: net benefit of treating all.
        why: maps `model_interval` to the reason why some are missing.
    """

    threshold: list[float]
    model: list[float]
    model_interval: list[Interval | None]
    all: list[float]
    why: dict[str, str]


def decision_curve(
    positive: np.ndarray, score: np.ndarray, resampling: Resampling
) -> DecisionCurve:
    """Computes the net benefit at each threshold probability (Vickers and Elkin, 2006).

    Args:
        positive: `[examples] bool`.
        score: `[examples] float`.
        resampling: bootstrap resamples of the examples; intervals are pointwise, not simultaneous.

    Returns:
        The curve.
    """
    odds = _THRESHOLDS / (1 - _THRESHOLDS)
    # The gain from calling an example positive, and the number of thresholds that do so.
    called = np.searchsorted(_THRESHOLDS, score, side="right")
    level = np.eye(len(_THRESHOLDS) + 1)[called]

    def net_benefit(weights: np.ndarray) -> np.ndarray:
        true, false = (
            # From the highest threshold down, each one's positives include those of the one above
            # it.
            (weights @ (level * of_kind[:, None]))[:, :0:-1].cumsum(axis=1)[:, ::-1]
            for of_kind in (positive, ~positive)
        )
        return (true - odds * false) / weights.sum(axis=1, keepdims=True)

    samples = resampling.samples(lambda weights: {"model": net_benefit(weights)})["model"]
    bounds = [interval(at_threshold, None)[0] for at_threshold in samples.T]
    return DecisionCurve(
        threshold=_THRESHOLDS.tolist(),
        model=net_benefit(np.ones((1, len(positive))))[0].tolist(),
        model_interval=bounds,
        all=(positive.mean() - odds * (1 - positive.mean())).tolist(),
        why={"model_interval": _NO_SPREAD} if None in bounds else {},
    )
