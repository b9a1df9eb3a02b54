"""All that a report says of one model."""

import dataclasses
from typing import Any

import numpy as np

from trainer.data.cases import Cases
from trainer.evaluation import sources
from trainer.evaluation.answers import Answers
from trainer.evaluation.calibration import calibration
from trainer.evaluation.intervals import statistics_with_intervals
from trainer.evaluation.operating_point import decision_curve, operating_point
from trainer.evaluation.resampling import Resampling
from trainer.evaluation.shortcuts import shortcut_controls

MISTAKES = 10
_NO_SOURCES = "nobody said which source each image, here and in training, comes from"
_NO_MASKS = "no image has a lung mask"


@dataclasses.dataclass(frozen=True)
class Bench:
    """What every model of a report is judged with.

    Attributes:
        cases: what is judged.
        resampling: of the cases.
        positive: index of the class that the operating point is about.
        train: labels and sources of the training split; None where sources are not known.
    """

    cases: Cases
    resampling: Resampling
    positive: int
    train: tuple[np.ndarray, np.ndarray] | None


def judge(
    answers: Answers, tuning: dict[str, Any] | None, no_tuning: str, bench: Bench
) -> dict[str, Any]:
    """Judges one model.

    Args:
        answers: what it said.
        tuning: what `tuning.tune` chose for it; None if nothing could be chosen.
        no_tuning: why nothing could.
        bench: what to judge it with.

    Returns:
        What `statistics_with_intervals` returns and the further sections of report.json. A section
        that does not exist is None, and `why` says why.
    """
    cases, shares = bench.cases, answers.cases
    names = cases.class_names
    positive, score = cases.labels == bench.positive, shares[:, bench.positive]
    result = statistics_with_intervals(cases.labels, shares, names, bench.resampling)
    result |= {
        "calibration": calibration(
            cases.labels, shares, names, tuning["temperature"] if tuning else None
        ),
        "tuning": tuning,
        "operating_point": None,
        "decision_curve": decision_curve(positive, score),
        "by_source": None,
        "pairs_within_sources": None,
        "source_alone": None,
        "shortcut_controls": None,
        "mistakes": _mistakes(cases, shares),
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
    if cases.masks is None:
        why["shortcut_controls"] = _NO_MASKS
    else:
        result["shortcut_controls"] = shortcut_controls(
            {"whole": shares[cases.masked], **answers.blanked},
            cases.labels[cases.masked],
            names,
            bench.resampling.part(cases.masked),
        )
    return result


def _by_source(shares: np.ndarray, bench: Bench) -> dict[str, Any]:
    cases = bench.cases
    judged = (cases.sources, cases.labels, shares, cases.class_names, bench.resampling)
    train_labels, train_sources = bench.train
    return {
        "by_source": sources.statistics_by_source(*judged),
        "pairs_within_sources": sources.pairs_within_sources(*judged),
        "source_alone": sources.source_alone(
            train_sources, train_labels, cases.sources, cases.labels, cases.class_names
        ),
    }


def _mistakes(cases: Cases, shares: np.ndarray) -> list[dict[str, Any]]:
    """The wrong answers that the model was surest of."""
    predicted, sure = shares.argmax(axis=1), shares.max(axis=1)
    wrong = np.flatnonzero(predicted != cases.labels)
    surest = wrong[np.argsort(-sure[wrong], kind="stable")][:MISTAKES]
    return [
        {
            "id": str(cases.ids[row]),
            "row": int(row),
            "label": cases.class_names[cases.labels[row]],
            "predicted": cases.class_names[predicted[row]],
            "probability": float(sure[row]),
            "probability_of_label": float(shares[row, cases.labels[row]]),
            "source": None if cases.sources is None else str(cases.sources[row]),
        }
        for row in surest
    ]
