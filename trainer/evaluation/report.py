"""A report's directory: the numbers, the predictions, the pictures, the page and the model cards.

The first model's files lie at its top, every other model's in a folder named after the model.
"""

import json
import pathlib
import re
from collections.abc import Sequence
from typing import Any

import tensorflow as tf

from trainer import templates
from trainer.confusion_matrix import plot_confusion_matrix
from trainer.data.cases import Cases
from trainer.directory import move_files, unfinished, writing_to
from trainer.evaluation import plots
from trainer.evaluation.answers import Answers
from trainer.evaluation.page import render_model_card, render_page
from trainer.evaluation.predictions import write_predictions
from trainer.templates import RESEARCH_USE

_MISTAKES = "mistakes"
_LONGEST_NAME = 80


def write_report(
    directory: pathlib.Path,
    *,
    cases: Cases,
    answers: Sequence[Answers],
    judged: dict[str, dict[str, Any]],
    about: dict[str, Any],
) -> None:
    """Writes the report; what is there of that name is replaced when all of it is written.

    Args:
        directory: where to, made if missing.
        cases: what was judged.
        answers: of each model, the first one first.
        judged: name of each model to what `judgement.judge` returned and what is known of its run.
        about: what else report.json says.

    Raises:
        UserError: it cannot be written.
    """
    with writing_to(directory), unfinished(directory) as partial:
        models = {
            model.name: judged[model.name] | _write_model(partial, folder, cases, model, judged)
            for model, folder in zip(answers, _folders(answers), strict=True)
        }
        report = {"research_use": RESEARCH_USE, **about, "comparison_picture": None}
        if len(models) > 1:
            report["comparison_picture"] = "accuracies.png"
            plots.plot_accuracies(models, partial / "accuracies.png")
        # The first model's numbers stand at the top too, where one looks who judged one model.
        report = models[answers[0].name] | report | {"models": models}
        _write_texts(partial, report)
        outdated = _outdated_mistakes(directory, partial)
        move_files(partial, directory)
        for picture in outdated:
            picture.unlink()


def _folders(answers: Sequence[Answers]) -> list[pathlib.Path]:
    """Each model's folder below the report's, named after it; no two are the same."""
    folders, taken = [pathlib.Path()], {"", _MISTAKES}
    for model in answers[1:]:
        # Without a point it is the name of no file of the report's, nor of a directory above.
        name = re.sub(r"[^A-Za-z0-9_+-]+", "_", model.name)[:_LONGEST_NAME]
        while name.lower() in taken:
            name += "_"
        taken.add(name.lower())
        folders.append(pathlib.Path(name))
    return folders


def _write_model(
    directory: pathlib.Path,
    folder: pathlib.Path,
    cases: Cases,
    model: Answers,
    judged: dict[str, dict[str, Any]],
) -> dict[str, Any]:
    """Writes one model's predictions and pictures; returns where they lie."""
    (directory / folder / _MISTAKES).mkdir(parents=True, exist_ok=True)
    write_predictions(
        directory / folder / "predictions.csv", cases.ids, cases.labels, model.cases,
        cases.class_names,
    )  # fmt: skip
    result = judged[model.name]
    _draw(directory / folder, cases, model, result)
    mistakes = []
    for rank, mistake in enumerate(result["mistakes"], start=1):
        path = folder / _MISTAKES / f"{rank:02d}.png"
        image = tf.io.encode_png(cases.images[mistake["row"]]).numpy()
        (directory / path).write_bytes(image)
        mistakes.append(mistake | {"picture": path.as_posix()})
    return {
        "folder": folder.as_posix(),
        "predictions": (folder / "predictions.csv").as_posix(),
        "mistakes": mistakes,
    }


def _draw(directory: pathlib.Path, cases: Cases, model: Answers, result: dict[str, Any]) -> None:
    names, matrix = cases.class_names, result["confusion_matrix"]
    plot_confusion_matrix(matrix, names, "counts", directory / "confusion_matrix.png")
    plot_confusion_matrix(
        matrix, names, "share of each true class", directory / "confusion_matrix_normalised.png",
        normalised=True,
    )  # fmt: skip
    plots.plot_curves(
        cases.labels, model.cases, names, directory / "roc.png", directory / "precision_recall.png"
    )
    plots.plot_reliability(result["calibration"], directory / "reliability.png")
    plots.plot_decision_curve(
        result["decision_curve"], result["positive_class"], directory / "decision_curve.png"
    )


def _write_texts(directory: pathlib.Path, report: dict[str, Any]) -> None:
    # A NaN would be no JSON: better to fail here than to hand it on.
    text = json.dumps(report, indent=2, allow_nan=False)
    (directory / "report.json").write_text(text + "\n", encoding="utf-8")
    templates.write(directory / "report.html", render_page(report, directory))
    for name, model in report["models"].items():
        card = render_model_card(report, name)
        templates.write(directory / model["folder"] / "model_card.md", card)


def _outdated_mistakes(directory: pathlib.Path, partial: pathlib.Path) -> list[pathlib.Path]:
    """The pictures of mistakes of an earlier report, where it had more of them."""
    return [
        picture
        for folder in partial.rglob(_MISTAKES)
        for picture in (directory / folder.relative_to(partial)).glob("[0-9][0-9].png")
        if not (folder / picture.name).exists()
    ]
