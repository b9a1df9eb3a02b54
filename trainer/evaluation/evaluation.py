"""Evaluates the best models of finished runs on a split of their dataset or on own images."""

import dataclasses
import os
import pathlib
from collections.abc import Mapping, Sequence
from typing import Any

import pandas as pd
from absl import logging

from cxr_command.foreign_text import as_unicode
from trainer.best_model import BestModel
from trainer.data.cases import load_manifest
from trainer.data.examples import Examples, load_folder
from trainer.errors import UserError
from trainer.evaluation.comparison import Comparison, compare
from trainer.evaluation.fitting import training_features
from trainer.evaluation.intervals import CONFIDENCE
from trainer.evaluation.material import Material, of_split, remarks_on
from trainer.evaluation.metrics import ACCURACY
from trainer.evaluation.model_report import AboutModel, ModelReport, Setup, evaluate_model
from trainer.evaluation.options import Options
from trainer.evaluation.original import beside_original
from trainer.evaluation.predictions import Predictions, ensemble, predict, prediction_table
from trainer.evaluation.prevalence import parse_prevalences
from trainer.evaluation.report import Bootstrap, Report, write_report
from trainer.evaluation.resampling import Resampling
from trainer.evaluation.several_runs import (
    class_named,
    classes_and_shape,
    named_runs,
    splits_of,
)
from trainer.evaluation.statistics import Statistics
from trainer.evaluation.study.layout import study_of
from trainer.evaluation.tasks import Multiclass
from trainer.evaluation.training_features import TrainingFeatures
from trainer.evaluation.tuning import keep, tune
from trainer.run import Run

_ENSEMBLE = "ensemble"
# Per-class metrics to log.
_LOGGED = ("sensitivity", "specificity", "ppv", "f1")


@dataclasses.dataclass(frozen=True)
class Evaluation:
    """The result of an evaluation.

    Attributes:
        report: the content of report.json; `report.models` has the metrics of each model.
        examples: the evaluated radiographs, with their labels.
        predictions: predictions of each model, in the order of the report.
    """

    report: Report
    examples: Examples
    predictions: tuple[Predictions, ...]

    def table(self, model: str | None = None) -> pd.DataFrame:
        """Returns the content of predictions.csv: one row per radiograph.

        Args:
            model: name of the model in the report; None: the first one.

        Returns:
            The columns `id`, `label`, `predicted`, and the probability of each class.

        Raises:
            UserError: the model is not in the report.
        """
        found = {one.name: one for one in self.predictions}
        if model and model not in found:
            raise UserError(f"no model {model!r} in the report: expected {', '.join(found)}")
        chosen = found[model] if model else self.predictions[0]
        of = self.examples
        header, *rows = prediction_table(of.ids, of.labels, chosen.probabilities, of.class_names)
        return pd.DataFrame(rows, columns=header)

    def write(self, directory: pathlib.Path) -> None:
        """Writes the report, its HTML page and the predictions.

        Args:
            directory: output directory, created if missing.

        Raises:
            UserError: the report cannot be written.
        """
        write_report(directory, self.report, self.examples, self.predictions)
        if self.examples.account:
            logging.info(self.examples.account.told())
        logging.info("report: %s", directory / "report.html")


def evaluate_runs(
    workdirs: Sequence[str | os.PathLike], options: Options, made_by: Mapping[str, Any]
) -> Evaluation:
    """Evaluates the best models of runs.

    Temperature and thresholds are fitted on the validation split and stored in the run directories.

    Args:
        workdirs: the runs' directories.
        options: the user's options.
        made_by: the fields `command`, `created` and `versions` of the report.

    Returns:
        The evaluation; the report has not been written.

    Raises:
        UserError: a run or a radiograph cannot be read; the message names it.
    """
    options.check(len(workdirs))
    prevalences = parse_prevalences(options.prevalence)
    runs = named_runs([os.fspath(path) for path in workdirs], _ENSEMBLE)
    contents = {name: run.finished_config() for name, run in runs.items()}
    for run in runs.values():
        run.warn_if_unfinished()
    class_names, _ = classes_and_shape(contents)
    positive = class_named(options.positive_class, class_names)
    models = {name: run.load_model() for name, run in runs.items()}
    material = _material(contents, options)
    examples, predictions = material.examples, _predictions(models, material, options)

    resampling = Resampling(examples.labels, examples.groups, options.resamples, options.seed)
    evaluated = {}
    for model in predictions:
        run, best = runs.get(model.name), models.get(model.name)
        tuning = _tuning(model, run, best, material, options)
        about = _about_model(model, run, best, contents, class_names[positive])
        train = material.train.get(model.name)
        setup = Setup(examples, resampling, positive, train, prevalences)
        why, fitted = _why_no_tuning(run, options), _fitted(run, best, about, options)
        evaluated[model.name] = evaluate_model(model, tuning, why, setup, about, fitted)
        _log(model.name, evaluated[model.name].statistics)

    comparison = _comparison(predictions, evaluated, setup) if len(predictions) > 1 else None
    report = _report(material, contents, evaluated, comparison, options, made_by)
    return Evaluation(report, examples, tuple(predictions))


def _comparison(
    predictions: Sequence[Predictions], evaluated: Mapping[str, ModelReport], setup: Setup
) -> Comparison:
    """Compares the models, all evaluated on the same examples."""
    examples = setup.examples
    tasks = {model.name: Multiclass(examples.labels, model.probabilities) for model in predictions}
    thresholds = {name: model.threshold for name, model in evaluated.items()}
    return compare(tasks, setup.resampling, examples.class_names, setup.positive, thresholds)


def _material(contents: Mapping[str, dict[str, Any]], options: Options) -> Material:
    """Loads the user's own images, or a split of the runs' dataset."""
    if not options.are_own:
        return of_split(contents, options.split, options.data_dir, _ENSEMBLE)
    class_names, image_shape = classes_and_shape(contents)
    load = load_manifest if options.manifest else load_folder
    place = pathlib.Path(options.manifest or options.images_dir)
    own = load(place, class_names, image_shape, any_view=options.any_view)
    return Material(own, splits_of(contents))


def _predictions(
    models: dict[str, BestModel], material: Material, options: Options
) -> list[Predictions]:
    """Predicts with each run and, if requested, averages them."""
    predictions = []
    for name, best in models.items():
        logging.info("%s predicts %d radiographs", name, len(material.examples.ids))
        flip = options.tta == "flip"
        predictions.append(
            predict(name, best.network, material.examples, material.validation, flip=flip)
        )
    return [*predictions, *([ensemble(_ENSEMBLE, predictions)] if options.ensemble else [])]


def _tuning(
    model: Predictions,
    run: Run | None,
    best: BestModel | None,
    material: Material,
    options: Options,
) -> dict[str, Any] | None:
    """Returns the values tuned on validation: computed now, or stored earlier by the run."""
    as_exported = run is not None and options.tta == "none"
    validation, dataset = material.validation, material.dataset
    if validation is None or dataset is None:
        return run.read_calibration(best.sha256) if as_exported else None
    tuning = tune(model.validation, validation, material.made_on[1])
    if as_exported:
        keep(tuning, run, best.sha256, dataset.digests())
    return tuning


def _fitted(
    run: Run | None, best: BestModel | None, about: AboutModel, options: Options
) -> TrainingFeatures | None:
    """Returns the model's training features; None for an ensemble, which has no features."""
    if run is None:
        return None
    return training_features(about.run_config, best, run.path, options.data_dir)


def _why_no_tuning(run: Run | None, options: Options) -> str:
    if not options.are_own:
        return "the dataset has no validation split to choose temperature and threshold on"
    if run is None or options.tta != "none":
        return "chosen for single models as they are saved; evaluate a split to choose it anew"
    return (
        "not chosen yet; `python -m trainer.evaluate --workdir=RUN --split=test --output_dir=...` "
        "chooses it on the validation split and keeps it in the run"
    )


def _about_model(
    model: Predictions,
    run: Run | None,
    best: BestModel | None,
    contents: dict[str, dict],
    positive_class: str,
) -> AboutModel:
    content = contents.get(model.name)
    return AboutModel(
        name=model.name,
        run=str(run.path) if run else None,
        model=content["config"]["model"] if run else _ENSEMBLE,
        members=None if run else list(contents),
        run_config=content,
        model_sha256=best.sha256 if run else None,
        positive_class=positive_class,
        study=study_of(run.path) if run else None,
    )


def _report(
    material: Material,
    contents: dict[str, dict],
    models: dict[str, ModelReport],
    comparison: Comparison | None,
    options: Options,
    made_by: Mapping[str, Any],
) -> Report:
    examples, dataset = material.examples, material.dataset
    left_out = examples.account.left_out if examples.account else []
    measured = [
        (model.about.model, name, model.statistics.values[ACCURACY.name])
        for name, model in models.items()
    ]
    return Report(
        note=options.note,
        dataset=dataset.name if dataset else None,
        dataset_version=str(dataset.builder.version) if dataset else None,
        images_dir=options.images_dir,
        manifest=options.manifest,
        split=material.split,
        split_digest=examples.digest,
        examples=len(examples.ids),
        left_out=[as_unicode(str(path)) for path, _ in left_out],
        class_names=list(examples.class_names),
        remarks=remarks_on(material, contents, options.data_dir),
        tta=options.tta,
        bootstrap=Bootstrap(
            resamples=options.resamples,
            seed=options.seed,
            confidence=CONFIDENCE,
            groups=None if examples.groups is None else len(set(examples.groups)),
        ),
        comparison=comparison,
        original=beside_original(dataset.name, measured) if dataset else None,
        models=models,
        **made_by,
    )


def _log(name: str, statistics: Statistics) -> None:
    accuracy = statistics.values[ACCURACY.name]
    logging.info("%s: accuracy %.4f on %d", name, accuracy, statistics.examples)
    for class_name, numbers in statistics.per_class.items():
        values = ((key, numbers.values[key]) for key in _LOGGED)
        shown = "  ".join(
            f"{key} {'none' if value is None else format(value, '.3f')}" for key, value in values
        )
        logging.info("%-16s %s  of %d", class_name, shown, numbers.support)
