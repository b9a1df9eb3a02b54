"""The summary at the top of a report's page."""

from typing import Any

from trainer.evaluation import sentences
from trainer.evaluation.formats import percent


def summarize(report: dict[str, Any]) -> list[tuple[str, str]]:
    """Summarises a report in plain words.

    With several models, the accuracy line covers all of them and the other lines the first one.

    Args:
        report: the content of report.json.

    Returns:
        At most nine pairs of subject and sentence; unknown facts are omitted.
    """
    model = next(iter(report["models"].values()))
    of_first = f" ({model['name']})" if len(report["models"]) > 1 else ""
    level = percent(report["bootstrap"]["confidence"], 0)
    operating = [sentences.threshold(model), sentences.at_threshold(model)]
    lines = [
        ("Evaluated", f"{sentences.evaluated(report)} {sentences.class_counts(report)}"),
        (
            f"Accuracy, with {level} interval",
            sentences.of_models(report, sentences.accuracy),
        ),
        (f"Detecting {model['positive_class']}{of_first}", " ".join(filter(None, operating))),
        (f"Calibration{of_first}", sentences.calibration(model)),
        (f"Weakest class{of_first}", sentences.worst_class(model)),
        (f"Weakest source or subgroup{of_first}", sentences.worst_part(model)),
        (f"The source as a shortcut{of_first}", sentences.source_alone(model)),
        (f"Without the lungs{of_first}", sentences.shortcut_control(model)),
        (
            "Not covered",
            "Performance on radiographs from other hospitals, patients or devices.",
        ),
    ]
    return [(subject, line) for subject, line in lines if line]
