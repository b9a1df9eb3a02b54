"""A report's directory: predictions.csv, report.json and the picture of the confusion matrix."""

import csv
import json
import pathlib
from typing import Any

from trainer.evaluation import plots
from trainer.evaluation.predictions import Predictions

RESEARCH_USE = "A research tool, not a medical device: not for diagnosis or any clinical decision."


def write_report(
    directory: pathlib.Path,
    *,
    predictions: Predictions,
    statistics: dict[str, Any],
    about: dict[str, Any],
    class_names: tuple[str, ...],
) -> None:
    """Writes the report.

    Args:
        directory: where to.
        predictions: of the split that was judged.
        statistics: what `classification_statistics` returned for them.
        about: what was judged on what: run, model, dataset, split.
        class_names: names of the classes.
    """
    _write_predictions(directory / "predictions.csv", predictions, class_names)
    plots.plot_confusion_matrix(
        statistics["confusion_matrix"],
        class_names,
        f"{about['model']} on {about['split']}: accuracy {statistics['accuracy']:.1%}",
        directory / "confusion_matrix.png",
    )
    report = {"research_use": RESEARCH_USE, **about, **statistics}
    (directory / "report.json").write_text(json.dumps(report, indent=2) + "\n")


def _write_predictions(
    path: pathlib.Path, predictions: Predictions, class_names: tuple[str, ...]
) -> None:
    with path.open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["id", "label", "predicted", *class_names])
        rows = zip(predictions.ids, predictions.labels, predictions.probabilities, strict=True)
        for example_id, label, probabilities in rows:
            predicted = class_names[probabilities.argmax()]
            writer.writerow([example_id, class_names[label], predicted, *map(float, probabilities)])
