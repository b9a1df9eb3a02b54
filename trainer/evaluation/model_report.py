"""The part of a report about one model."""

import dataclasses
from typing import Annotated, Any

import numpy as np

from trainer.data.examples import Examples
from trainer.evaluation import sources
from trainer.evaluation.calibration import Calibration, evaluate_calibration
from trainer.evaluation.conformal import Conformal, evaluate_conformal
from trainer.evaluation.decision_curve import DecisionCurve, decision_curve
from trainer.evaluation.json_content import INLINE
from trainer.evaluation.operating_point import OperatingPoint, evaluate_thresholds
from trainer.evaluation.predictions import Predictions
from trainer.evaluation.resampling import Resampling
from trainer.evaluation.selective import Selective, evaluate_selective
from trainer.evaluation.shortcuts import ShortcutControls, evaluate_shortcuts
from trainer.evaluation.statistics import Statistics, evaluate_classes
from trainer.evaluation.subgroups import Subgroup, evaluate_subgroups
from trainer.evaluation.tasks import Multiclass
from trainer.evaluation.training_features import TrainingFeatures
from trainer.evaluation.unusual import NOT_KNOWN, NOT_SHARED, Unusual, evaluate_unusual

MISTAKES = 10
_NO_SOURCES = "the source of the evaluated or of the training images is not known"
_NO_QUANTILES = (
    "an earlier version chose temperature and thresholds; evaluate a split to choose the quantiles"
)
_NO_MASKS = "no image has a lung mask"


@dataclasses.dataclass(frozen=True)
class Setup:
    """The common inputs for evaluating every model of a report.

    Attributes:
        examples: the examples to evaluate on.
        resampling: bootstrap resamples of the examples.
        positive: index of the class of the operating point.
        train: labels and sources of the model's training examples; None if the sources are unknown.
        prevalences: prevalences for PPV and NPV, 0 to 1.
    """

    examples: Examples
    resampling: Resampling
    positive: int
    train: tuple[np.ndarray, np.ndarray] | None
    prevalences: tuple[float, ...] = ()


@dataclasses.dataclass(frozen=True)
class Mistake:
    """A wrong prediction.

    Attributes:
        id: id of the example.
        row: index of the example.
        label: true class.
        predicted: predicted class.
        probability: probability of the predicted class.
        probability_of_label: probability of the true class.
        source: source of the example; None if unknown.
    """

    id: str
    row: int
    label: str
    predicted: str
    probability: float
    probability_of_label: float
    source: str | None


@dataclasses.dataclass(frozen=True)
class AboutModel:
    """Metadata of a model.

    Attributes:
        name: name in the report.
        run: path of its run; None for an ensemble, as for the following attributes except
            `members`.
        model: name of the network, or `ensemble`.
        members: names of an ensemble's models; None for a run.
        run_config: content of the run's config.json.
        model_sha256: SHA-256 of its model.keras.
        positive_class: the class of the operating point.
        study: the study that the run belongs to; None if there is none.
    """

    name: str
    run: str | None
    model: str
    members: list[str] | None
    run_config: dict[str, Any] | None
    model_sha256: str | None
    positive_class: str
    study: str | None = None


@dataclasses.dataclass(frozen=True)
class ModelReport:
    """One model in report.json; `statistics.why` explains each section that is None.

    Attributes:
        statistics: its metrics.
        calibration: calibration of its probabilities.
        tuning: the result of `tuning.tune`.
        operating_point: results at the threshold for the positive class.
        operating_points: results at the threshold of each class that has one.
        decision_curve: decision curve for the positive class.
        conformal: evaluation of prediction sets.
        selective: selective prediction: accuracy on the most confident examples.
        by_source: statistics of the examples of each source.
        pairs_within_sources: each pair of classes within one source.
        source_alone: score of predicting the class from the source alone.
        subgroups: evaluation by attribute, such as `site`, and value.
        shortcut_controls: its metrics with a part of each radiograph blanked.
        unusual: number of radiographs flagged as unlike its training radiographs.
        mistakes: its most confident wrong predictions.
        about: metadata of the model.
    """

    statistics: Annotated[Statistics, INLINE]
    calibration: Calibration
    tuning: dict[str, Any] | None
    operating_point: OperatingPoint | None
    operating_points: dict[str, OperatingPoint] | None
    decision_curve: DecisionCurve
    conformal: Conformal | None
    selective: Selective
    by_source: dict[str, Statistics] | None
    pairs_within_sources: list[sources.PairWithinSource] | None
    source_alone: sources.SourceAlone | None
    subgroups: dict[str, dict[str, Subgroup]]
    shortcut_controls: ShortcutControls | None
    unusual: Unusual | None
    mistakes: list[Mistake]
    about: Annotated[AboutModel, INLINE]

    @property
    def threshold(self) -> float | None:
        """The threshold for the positive class; None if there is none."""
        return self.operating_point.threshold if self.operating_point else None


def evaluate_model(
    predictions: Predictions,
    tuning: dict[str, Any] | None,
    no_tuning: str,
    setup: Setup,
    about: AboutModel,
    fitted: TrainingFeatures | None = None,
) -> ModelReport:
    """Evaluates one model.

    Args:
        predictions: predictions of the model.
        tuning: the result of `tuning.tune` for it; None if tuning was not possible.
        no_tuning: why tuning was not possible.
        setup: the common inputs.
        about: metadata of the model.
        fitted: its training features; None if unknown.

    Returns:
        Its part of the report.
    """
    examples, names = setup.examples, setup.examples.class_names
    task = Multiclass(examples.labels, predictions.probabilities)
    one = task.one_against_rest(setup.positive)
    statistics = evaluate_classes(task, names, setup.resampling)
    points = None
    if tuning:
        points = evaluate_thresholds(
            task, names, tuning["thresholds"], setup.resampling, setup.prevalences
        )
    why = _missing(setup, tuning, no_tuning)
    if fitted is None:
        why["unusual"] = NOT_SHARED if about.members else NOT_KNOWN
    return ModelReport(
        statistics=dataclasses.replace(statistics, why=statistics.why | why),
        calibration=evaluate_calibration(
            task, names, tuning["temperature"] if tuning else None, setup.resampling
        ),
        tuning=tuning,
        operating_point=points.get(names[setup.positive]) if points else None,
        operating_points=points,
        decision_curve=decision_curve(one.labels, one.scores, setup.resampling),
        conformal=_conformal(task, tuning, setup),
        selective=evaluate_selective(task, setup.resampling),
        **_by_source(task, setup),
        subgroups=evaluate_subgroups(examples.attributes, task, names, setup.resampling),
        shortcut_controls=_shortcut_controls(predictions, setup),
        unusual=(
            evaluate_unusual(predictions.features, fitted, examples, setup.resampling)
            if fitted
            else None
        ),
        mistakes=_mistakes(examples, task),
        about=about,
    )


def _missing(setup: Setup, tuning: dict[str, Any] | None, no_tuning: str) -> dict[str, str]:
    """Maps missing sections to the reason."""
    why = {}
    positive_class = setup.examples.class_names[setup.positive]
    for name, threshold in tuning["thresholds"].items() if tuning else ():
        if threshold is None:
            why[f"operating_points.{name}"] = f"{name} does not occur in validation"
    if positive := why.get(f"operating_points.{positive_class}"):
        why["operating_point"] = positive
    if tuning is None:
        chosen = ("tuning", "calibration.after", "operating_point", "operating_points", "conformal")
        why |= dict.fromkeys(chosen, no_tuning)
    elif "conformal" not in tuning:
        why["conformal"] = _NO_QUANTILES
    if setup.train is None:
        why |= dict.fromkeys(("by_source", "pairs_within_sources", "source_alone"), _NO_SOURCES)
    if setup.examples.masks is None:
        why["shortcut_controls"] = _NO_MASKS
    return why


def _conformal(task: Multiclass, tuning: dict[str, Any] | None, setup: Setup) -> Conformal | None:
    if tuning is None or "conformal" not in tuning:
        return None
    examples = setup.examples
    return evaluate_conformal(
        task, tuning["conformal"], examples.class_names, examples.sources, setup.resampling
    )


def _by_source(task: Multiclass, setup: Setup) -> dict[str, Any]:
    if setup.train is None:
        return dict.fromkeys(("by_source", "pairs_within_sources", "source_alone"))
    examples = setup.examples
    of_sources = (examples.sources, task, examples.class_names, setup.resampling)
    train_labels, train_sources = setup.train
    return {
        "by_source": sources.evaluate_by_source(*of_sources),
        "pairs_within_sources": sources.evaluate_pairs_within_sources(*of_sources),
        "source_alone": sources.evaluate_source_alone(
            train_sources, train_labels, examples.sources, examples.labels, examples.class_names
        ),
    }


def _shortcut_controls(predictions: Predictions, setup: Setup) -> ShortcutControls | None:
    examples = setup.examples
    if examples.masks is None:
        return None
    return evaluate_shortcuts(
        {"whole": predictions.probabilities[examples.masked], **predictions.blanked},
        examples.labels[examples.masked],
        setup.resampling.part(examples.masked),
    )


def _mistakes(examples: Examples, task: Multiclass) -> list[Mistake]:
    sure = task.probabilities.max(axis=1)
    wrong = np.flatnonzero(~task.right)
    surest = wrong[np.argsort(-sure[wrong], kind="stable")][:MISTAKES]
    return [
        Mistake(
            id=str(examples.ids[row]),
            row=int(row),
            label=examples.class_names[task.labels[row]],
            predicted=examples.class_names[task.predicted[row]],
            probability=float(sure[row]),
            probability_of_label=float(task.probabilities[row, task.labels[row]]),
            source=None if examples.sources is None else str(examples.sources[row]),
        )
        for row in surest
    ]
