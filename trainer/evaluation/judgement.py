"""All that a report says of one model."""

import dataclasses
from typing import Any

import numpy as np

from trainer.data.examples import Examples
from trainer.evaluation import sources
from trainer.evaluation.calibration import calibration
from trainer.evaluation.intervals import statistics_with_intervals
from trainer.evaluation.operating_point import decision_curve, operating_point
from trainer.evaluation.predictions import Predictions
from trainer.evaluation.resampling import Resampling
from trainer.evaluation.shortcuts import shortcut_controls

MISTAKES = 10
_NO_SOURCES = "nobody said which source each image, here and in training, comes from"
_NO_MASKS = "no image has a lung mask"


@dataclasses.dataclass(frozen=True)
class Bench:
    """What every model of a report is judged with.

    Attributes:
        examples: what is judged.
        resampling: of the examples.
        positive: index of the class that the operating point is about.
        train: labels and sources of the training split; None where sources are not known.
    """

    examples: Examples
    resampling: Resampling
    positive: int
    train: tuple[np.ndarray, np.ndarray] | None


def judge(
    predictions: Predictions, tuning: dict[str, Any] | None, no_tuning: str, bench: Bench
) -> dict[str, Any]:
    """Judges one model.

    Args:
        predictions: what it said.
        tuning: what `tuning.tune` chose for it; None if nothing could be chosen.
        no_tuning: why nothing could.
        bench: what to judge it with.

    Returns:
        What `statistics_with_intervals` returns and the further sections of report.json. A section
        that does not exist is None, and `why` says why.
    """
    examples, shares = bench.examples, predictions.probabilities
    names = examples.class_names
    positive, score = examples.labels == bench.positive, shares[:, bench.positive]
    result = statistics_with_intervals(examples.labels, shares, names, bench.resampling)
    result |= {
        "calibration": calibration(
            examples.labels, shares, names, tuning["temperature"] if tuning else None
        ),
        "tuning": tuning,
        "operating_point": None,
        "decision_curve": decision_curve(positive, score),
        "by_source": None,
        "pairs_within_sources": None,
        "source_alone": None,
        "shortcut_controls": None,
        "mistakes": _mistakes(examples, shares),
    }
    why = result["why"]
    threshold = tuning["thresholds"][names[bench.positive]] if tuning else None
    if threshold is None:
        why["operating_point"] = f"{names[bench.positive]} does not occur in validation"
    else:
        result["operating_point"] = operating_point(positive, score, threshold, bench.resampling)
    if tuning is None:
        why["tuning"] = why["calibration.after"] = why["operating_point"] = no_tuning
    if bench.train is None:
        why["by_source"] = why["pairs_within_sources"] = why["source_alone"] = _NO_SOURCES
    else:
        result |= _by_source(shares, bench)
    if examples.masks is None:
        why["shortcut_controls"] = _NO_MASKS
    else:
        result["shortcut_controls"] = shortcut_controls(
            {"whole": shares[examples.masked], **predictions.blanked},
            examples.labels[examples.masked],
            names,
            bench.resampling.part(examples.masked),
        )
    return result


def _by_source(shares: np.ndarray, bench: Bench) -> dict[str, Any]:
    examples = bench.examples
    judged = (examples.sources, examples.labels, shares, examples.class_names, bench.resampling)
    train_labels, train_sources = bench.train
    return {
        "by_source": sources.statistics_by_source(*judged),
        "pairs_within_sources": sources.pairs_within_sources(*judged),
        "source_alone": sources.source_alone(
            train_sources, train_labels, examples.sources, examples.labels, examples.class_names
        ),
    }


def _mistakes(examples: Examples, shares: np.ndarray) -> list[dict[str, Any]]:
    """The wrong predictions that the model was surest of."""
    predicted, sure = shares.argmax(axis=1), shares.max(axis=1)
    wrong = np.flatnonzero(predicted != examples.labels)
    surest = wrong[np.argsort(-sure[wrong], kind="stable")][:MISTAKES]
    return [
        {
            "id": str(examples.ids[row]),
            "row": int(row),
            "label": examples.class_names[examples.labels[row]],
            "predicted": examples.class_names[predicted[row]],
            "probability": float(sure[row]),
            "probability_of_label": float(shares[row, examples.labels[row]]),
            "source": None if examples.sources is None else str(examples.sources[row]),
        }
        for row in surest
    ]
