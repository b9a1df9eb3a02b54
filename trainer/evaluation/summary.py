"""The lines at the top of a report's page, below what it must not be used for."""

from typing import Any

from trainer.evaluation import sentences
from trainer.evaluation.formats import percent


def summarize(report: dict[str, Any]) -> list[tuple[str, str]]:
    """Sums up a report in plain words.

    Of several models all accuracies are told, and all else of the first one.

    Args:
        report: the content of report.json.

    Returns:
        At most nine lines, each with its subject; what the report does not know has none.
    """
    model = next(iter(report["models"].values()))
    of_first = f" ({model['name']})" if len(report["models"]) > 1 else ""
    level = percent(report["bootstrap"]["confidence"], 0)
    operating = [sentences.threshold(model), sentences.at_threshold(model)]
    lines = [
        ("Evaluated", f"{sentences.evaluated(report)} {sentences.class_counts(report)}"),
        (
            f"How often right, with {level} interval",
            sentences.of_models(report, sentences.accuracy),
        ),
        (f"Finding {model['positive_class']}{of_first}", " ".join(filter(None, operating))),
        (f"Trust in its probabilities{of_first}", sentences.calibration(model)),
        (f"Weakest class{of_first}", sentences.worst_class(model)),
        (f"Weakest source or subgroup{of_first}", sentences.worst_part(model)),
        (f"The source as a shortcut{of_first}", sentences.source_alone(model)),
        (f"Without the lungs{of_first}", sentences.shortcut_control(model)),
        (
            "Not known from these numbers",
            "How it does on radiographs from elsewhere, on other patients or other devices.",
        ),
    ]
    return [(subject, line) for subject, line in lines if line]
