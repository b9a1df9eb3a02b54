"""A report's directory: results, predictions, plots, page, checklist and model cards.

The first model's files are at the top level, every other model's in a folder named after it.
"""

import dataclasses
import json
import pathlib
import re
from collections.abc import Iterable, Sequence
from typing import Annotated, Any

import tensorflow as tf

from trainer import templates
from trainer.confusion_matrix import plot_confusion_matrix
from trainer.data.examples import Examples
from trainer.directory import move_files, unfinished, writing_to
from trainer.evaluation import plots
from trainer.evaluation.comparison import Comparison
from trainer.evaluation.json_content import INLINE, json_content
from trainer.evaluation.model_report import Mistake, ModelReport
from trainer.evaluation.original import Original
from trainer.evaluation.page import render_checklist, render_model_card, render_page
from trainer.evaluation.predictions import Predictions, write_predictions
from trainer.templates import RESEARCH_USE

_MISTAKES = "mistakes"
_COMPARISON_PICTURE = "accuracies.png"
_LONGEST_NAME = 80


@dataclasses.dataclass(frozen=True)
class Bootstrap:
    """Parameters of the bootstrap intervals.

    Attributes:
        resamples: number of resamples.
        seed: random seed.
        confidence: confidence level of the intervals, 0 to 1.
        groups: number of groups of copies that were resampled; None if copies are unknown.
    """

    resamples: int
    seed: int
    confidence: float
    groups: int | None


@dataclasses.dataclass(frozen=True, kw_only=True)
class Report:
    """The content of report.json, where the first model's part is also at the top level.

    Attributes:
        research_use: what the model must not be used for.
        note: a remark of the user.
        dataset: name of the dataset; None for a user's own images, as are version and split.
        dataset_version: version of the dataset.
        images_dir: the folder of own images; None otherwise.
        manifest: the table of own images; None otherwise.
        split: split of the dataset.
        split_digest: digest of the examples.
        examples: number of examples.
        left_out: files of a user's folder or table that were not evaluated.
        class_names: names of the classes in the order of their labels.
        remarks: limitations of the results.
        tta: test-time augmentation, `none` or `flip`.
        bootstrap: how the intervals were computed.
        command: the command that created the report.
        created: time of creation, in ISO 8601.
        versions: versions by package.
        comparison: comparison of the models; None for a single model.
        original: results of the original notebooks; None for another dataset.
        comparison_picture: file of the comparison plot; None for a single model.
        models: the models by name, in order.
    """

    research_use: str = RESEARCH_USE
    note: str
    dataset: str | None
    dataset_version: str | None
    images_dir: str | None
    manifest: str | None
    split: str | None
    split_digest: str
    examples: int
    left_out: list[str]
    class_names: list[str]
    remarks: list[str]
    tta: str
    bootstrap: Bootstrap
    command: str
    created: str
    versions: dict[str, str]
    comparison: Comparison | None
    original: Original | None
    comparison_picture: str | None = None
    models: dict[str, ModelReport]


@dataclasses.dataclass(frozen=True)
class _ShownMistake:
    mistake: Annotated[Mistake, INLINE]
    picture: str


@dataclasses.dataclass(frozen=True)
class _WrittenModel:
    """A model and the location of its files in the report's directory."""

    model: Annotated[ModelReport, INLINE]
    folder: str
    predictions: str
    mistakes: list[_ShownMistake]


def write_report(
    directory: pathlib.Path, report: Report, examples: Examples, predictions: Sequence[Predictions]
) -> None:
    """Writes the report, replacing an earlier one only when it is complete.

    Args:
        directory: output directory, created if missing.
        report: the content of the report.
        examples: the evaluated examples.
        predictions: predictions of each model, in the report's order.

    Raises:
        UserError: the report cannot be written.
    """
    with writing_to(directory), unfinished(directory) as partial:
        models = {
            of_model.name: json_content(
                _write_model(partial, folder, examples, of_model, report.models[of_model.name])
            )
            for of_model, folder in zip(predictions, _folders(report.models), strict=True)
        }
        if len(models) > 1:
            report = dataclasses.replace(report, comparison_picture=_COMPARISON_PICTURE)
            statistics = {name: model.statistics for name, model in report.models.items()}
            plots.plot_accuracies(statistics, partial / _COMPARISON_PICTURE)
        # The first model's results are repeated at the top level, for readers of a single model.
        first = models[predictions[0].name]
        _write_texts(partial, first | json_content(report) | {"models": models})
        outdated = _outdated_mistakes(directory, partial)
        move_files(partial, directory)
        for picture in outdated:
            picture.unlink()


def _folders(names: Iterable[str]) -> list[pathlib.Path]:
    """Returns a unique folder for each model in the report, named after the model."""
    folders, taken = [pathlib.Path()], {"", _MISTAKES}
    for model in list(names)[1:]:
        # Without a dot it can be neither the name of a report file nor a parent directory.
        name = re.sub(r"[^A-Za-z0-9_+-]+", "_", model)[:_LONGEST_NAME]
        while name.lower() in taken:
            name += "_"
        taken.add(name.lower())
        folders.append(pathlib.Path(name))
    return folders


def _write_model(
    directory: pathlib.Path,
    folder: pathlib.Path,
    examples: Examples,
    predictions: Predictions,
    model: ModelReport,
) -> _WrittenModel:
    """Writes one model's predictions and plots."""
    (directory / folder / _MISTAKES).mkdir(parents=True, exist_ok=True)
    write_predictions(
        directory / folder / "predictions.csv", examples.ids, examples.labels,
        predictions.probabilities, examples.class_names,
    )  # fmt: skip
    _draw(directory / folder, examples, predictions, model)
    mistakes = []
    for rank, mistake in enumerate(model.mistakes, start=1):
        path = folder / _MISTAKES / f"{rank:02d}.png"
        image = tf.io.encode_png(examples.images[mistake.row]).numpy()
        (directory / path).write_bytes(image)
        mistakes.append(_ShownMistake(mistake, path.as_posix()))
    return _WrittenModel(
        model, folder.as_posix(), (folder / "predictions.csv").as_posix(), mistakes
    )


def _draw(
    directory: pathlib.Path, examples: Examples, predictions: Predictions, model: ModelReport
) -> None:
    names, matrix = examples.class_names, model.statistics.confusion_matrix
    plot_confusion_matrix(matrix, names, "counts", directory / "confusion_matrix.png")
    plot_confusion_matrix(
        matrix, names, "share of each true class", directory / "confusion_matrix_normalised.png",
        normalised=True,
    )  # fmt: skip
    plots.plot_curves(
        examples.labels, predictions.probabilities, names,
        directory / "roc.png", directory / "precision_recall.png",
    )  # fmt: skip
    plots.plot_reliability(model.calibration, directory / "reliability.png")
    plots.plot_reliability_by_class(
        model.calibration.per_class, directory / "reliability_by_class.png"
    )
    plots.plot_decision_curve(
        model.decision_curve, model.about.positive_class, directory / "decision_curve.png"
    )
    plots.plot_selective(model.selective.curve, directory / "selective.png")


def _write_texts(directory: pathlib.Path, report: dict[str, Any]) -> None:
    # NaN is not valid JSON: better to fail here than to pass it on.
    text = json.dumps(report, indent=2, allow_nan=False)
    (directory / "report.json").write_text(text + "\n", encoding="utf-8")
    templates.write(directory / "report.html", render_page(report, directory))
    templates.write(directory / "report_checklist.md", render_checklist(report))
    for name, model in report["models"].items():
        card = render_model_card(report, name)
        templates.write(directory / model["folder"] / "model_card.md", card)


def _outdated_mistakes(directory: pathlib.Path, partial: pathlib.Path) -> list[pathlib.Path]:
    """Returns the images of mistakes left over from an earlier report that had more of them."""
    return [
        picture
        for folder in partial.rglob(_MISTAKES)
        for picture in (directory / folder.relative_to(partial)).glob("[0-9][0-9].png")
        if not (folder / picture.name).exists()
    ]
