"""Evaluates the best models of finished runs on a split of their dataset, or on own images.

    python -m trainer.evaluate --workdir=RUN --split=test --output_dir=REPORT
    python -m trainer.evaluate --workdir=RUN1 --workdir=RUN2 --ensemble --output_dir=REPORT
    python -m trainer.evaluate --workdir=RUN --images_dir=FOLDER --output_dir=REPORT
    python -m trainer.evaluate --workdir=RUN --manifest=cases.csv --output_dir=REPORT
    python -m trainer.evaluate --study_dir=STUDY --output_dir=REPORT

FOLDER holds one sub-folder of radiographs for each class, as the published database does. cases.csv
has the columns path and label, and any of patient, group, site, sex, age, view and device.
REPORT/report.html is the page to read, report.json has the same numbers, predictions.csv what they
come from. Temperature and threshold are chosen on the validation split and kept in the run's
calibration.json; with --images_dir and --manifest they are taken from there. This is a research
tool, not a medical device.
"""

import dataclasses
import pathlib
from typing import Any

from absl import flags, logging

from cxr_command import usage
from cxr_command.foreign_text import as_unicode
from trainer import command
from trainer.best_model import BestModel
from trainer.data.cases import load_manifest
from trainer.data.examples import Examples, load_folder
from trainer.directory import require_writable
from trainer.errors import UserError
from trainer.evaluation.comparison import Comparison, compare
from trainer.evaluation.fitting import training_features
from trainer.evaluation.intervals import CONFIDENCE
from trainer.evaluation.material import Material, of_split, remarks_on
from trainer.evaluation.metrics import ACCURACY
from trainer.evaluation.model_report import AboutModel, ModelReport, Setup, evaluate_model
from trainer.evaluation.original import beside_original
from trainer.evaluation.predictions import Predictions, ensemble, predict
from trainer.evaluation.prevalence import parse_prevalences
from trainer.evaluation.provenance import provenance
from trainer.evaluation.report import Bootstrap, Report, write_report
from trainer.evaluation.resampling import Resampling
from trainer.evaluation.several_runs import (
    class_named,
    classes_and_shape,
    named_runs,
    splits_of,
)
from trainer.evaluation.statistics import Statistics
from trainer.evaluation.study.evaluation import Options, evaluate_study
from trainer.evaluation.study.layout import study_of
from trainer.evaluation.tasks import Multiclass
from trainer.evaluation.training_features import TrainingFeatures
from trainer.evaluation.tuning import keep, tune
from trainer.memory import memory_told
from trainer.run import Run

_ENSEMBLE = "ensemble"
# What tells which runs or images to evaluate, and how, where a study does not.
_NOT_OF_STUDY = (
    "workdir", "images_dir", "manifest", "any_view", "ensemble", "tta", "positive_class",
    "prevalence",
)  # fmt: skip
# Metrics of each class that are logged.
_LOGGED = ("sensitivity", "specificity", "ppv", "f1")

usage.section("What is evaluated")
flags.DEFINE_multi_string("workdir", None, "Directory of a run; repeat it to compare runs.")
flags.DEFINE_string("study_dir", None, "Directory of a study; all its runs are evaluated.")
flags.DEFINE_string("split", None, "Split to evaluate on; default: test, or the fold held out.")
flags.DEFINE_string("data_dir", None, "Data directory of the dataset; default: that of the run.")
flags.DEFINE_string("images_dir", None, "Folder of your own images, one sub-folder per class.")
flags.DEFINE_string(
    "manifest", None, "CSV file of your own images: path, label, patient, site, ..."
)
flags.DEFINE_bool("any_view", False, "Also read DICOM files of lateral views and other body parts.")
flags.DEFINE_bool("ensemble", False, "Also evaluate the mean of the runs' probabilities.")
flags.DEFINE_enum("tta", "none", ["none", "flip"], "Average with the flipped radiograph.")

usage.section("The report")
flags.DEFINE_string("output_dir", None, "Directory of the report.", required=True)
flags.DEFINE_string("positive_class", None, "Class of the operating point; default: the first.")
flags.DEFINE_list(
    "prevalence", [], "Prevalences, such as 0.02,0.1, at which to report PPV and NPV."
)
flags.DEFINE_integer("resamples", 2000, "Number of bootstrap resamples.", lower_bound=100)
flags.DEFINE_integer("seed", 0, "Seed of the bootstrap.", lower_bound=0)
flags.DEFINE_string("note", "", "Note at the top of the report.")

FLAGS = flags.FLAGS


@memory_told("evaluate the runs")
def main() -> None:
    """Evaluates."""
    _check_flags()
    if FLAGS.study_dir:
        chosen = {field.name: FLAGS[field.name].value for field in dataclasses.fields(Options)}
        evaluate_study(FLAGS.study_dir, FLAGS.output_dir, Options(**chosen), provenance())
    else:
        _evaluate_runs(parse_prevalences(FLAGS.prevalence))


def _evaluate_runs(prevalences: tuple[float, ...]) -> None:
    runs = named_runs(FLAGS.workdir, _ENSEMBLE)
    contents = {name: run.finished_config() for name, run in runs.items()}
    for run in runs.values():
        run.warn_if_unfinished()
    class_names, image_shape = classes_and_shape(contents)
    positive = class_named(FLAGS.positive_class, class_names)
    directory = require_writable(FLAGS.output_dir, "output_dir")
    models = {name: run.load_model() for name, run in runs.items()}
    if _are_own():
        material = Material(_own_examples(class_names, image_shape), splits_of(contents))
    else:
        material = of_split(contents, FLAGS.split, FLAGS.data_dir, _ENSEMBLE)
    examples = material.examples
    predictions = _predictions(models, material)

    resampling = Resampling(examples.labels, examples.groups, FLAGS.resamples, FLAGS.seed)
    evaluated = {}
    for model in predictions:
        run, best = runs.get(model.name), models.get(model.name)
        tuning = _tuning(model, run, best, material)
        about = _about_model(model, run, best, contents, class_names[positive])
        train = material.train.get(model.name)
        setup = Setup(examples, resampling, positive, train, prevalences)
        why, fitted = _why_no_tuning(run), _fitted(run, best, about)
        evaluated[model.name] = evaluate_model(model, tuning, why, setup, about, fitted)
        _log(model.name, evaluated[model.name].statistics)

    tasks = {model.name: Multiclass(examples.labels, model.probabilities) for model in predictions}
    comparison = None
    if len(tasks) > 1:
        thresholds = {name: model.threshold for name, model in evaluated.items()}
        comparison = compare(tasks, resampling, class_names, positive, thresholds)
    report = _report(material, contents, evaluated, comparison)
    write_report(directory, report, examples, predictions)
    if examples.account:
        logging.info(examples.account.told())
    logging.info("report: %s", directory / "report.html")


def _check_flags() -> None:
    if FLAGS.study_dir:
        if others := [f"--{name}" for name in _NOT_OF_STUDY if FLAGS[name].present]:
            raise UserError(f"--study_dir evaluates a study's runs: leave {', '.join(others)} out")
    elif not FLAGS.workdir:
        raise UserError("--workdir is missing: give a run's, or --study_dir=STUDY; see --help")
    if sum(map(bool, (FLAGS.split, FLAGS.images_dir, FLAGS.manifest))) > 1:
        raise UserError("give one of --split=SPLIT, --images_dir=DIR and --manifest=CSV")
    if FLAGS.ensemble and len(FLAGS.workdir) < 2:
        raise UserError("--ensemble averages several runs; give --workdir more than once")


def _are_own() -> bool:
    """Whether a user's own images are evaluated, and not a split of a dataset."""
    return bool(FLAGS.images_dir or FLAGS.manifest)


def _own_examples(class_names: tuple[str, ...], image_shape: tuple[int, int, int]) -> Examples:
    load = load_manifest if FLAGS.manifest else load_folder
    place = pathlib.Path(FLAGS.manifest or FLAGS.images_dir)
    return load(place, class_names, image_shape, any_view=FLAGS.any_view)


def _predictions(models: dict[str, BestModel], material: Material) -> list[Predictions]:
    """Of each run, and of their mean if asked for."""
    predictions = []
    for name, best in models.items():
        logging.info("%s predicts %d radiographs", name, len(material.examples.ids))
        flip = FLAGS.tta == "flip"
        predictions.append(
            predict(name, best.network, material.examples, material.validation, flip=flip)
        )
    return [*predictions, *([ensemble(_ENSEMBLE, predictions)] if FLAGS.ensemble else [])]


def _tuning(
    model: Predictions, run: Run | None, best: BestModel | None, material: Material
) -> dict[str, Any] | None:
    """What is chosen on validation: now, or earlier and kept in the run's directory."""
    as_exported = run is not None and FLAGS.tta == "none"
    validation, dataset = material.validation, material.dataset
    if validation is None or dataset is None:
        return run.read_calibration(best.sha256) if as_exported else None
    tuning = tune(model.validation, validation, material.made_on[1])
    if as_exported:
        keep(tuning, run, best.sha256, dataset.digests())
    return tuning


def _fitted(run: Run | None, best: BestModel | None, about: AboutModel) -> TrainingFeatures | None:
    """What radiographs are compared with; an ensemble has no features of its own."""
    if run is None:
        return None
    return training_features(about.run_config, best, run.path, FLAGS.data_dir)


def _why_no_tuning(run: Run | None) -> str:
    if not _are_own():
        return "the dataset has no validation split to choose temperature and threshold on"
    if run is None or FLAGS.tta != "none":
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
) -> Report:
    examples, dataset = material.examples, material.dataset
    left_out = examples.account.left_out if examples.account else []
    measured = [
        (model.about.model, name, model.statistics.values[ACCURACY.name])
        for name, model in models.items()
    ]
    return Report(
        note=FLAGS.note,
        dataset=dataset.name if dataset else None,
        dataset_version=str(dataset.builder.version) if dataset else None,
        images_dir=FLAGS.images_dir,
        manifest=FLAGS.manifest,
        split=material.split,
        split_digest=examples.digest,
        examples=len(examples.ids),
        left_out=[as_unicode(str(path)) for path, _ in left_out],
        class_names=list(examples.class_names),
        remarks=remarks_on(material, contents, FLAGS.data_dir),
        tta=FLAGS.tta,
        bootstrap=Bootstrap(
            resamples=FLAGS.resamples,
            seed=FLAGS.seed,
            confidence=CONFIDENCE,
            groups=None if examples.groups is None else len(set(examples.groups)),
        ),
        comparison=comparison,
        original=beside_original(dataset.name, measured) if dataset else None,
        models=models,
        **provenance(),
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


def start() -> None:
    """Starts the command: flags in, exit code out."""
    command.run(main)


if __name__ == "__main__":
    start()
