"""The results of a report in sentences, for its summary and the reviewer's checklist.

Every function takes the content of report.json, or one model's part of it, and returns None if the
report lacks the fact.
"""

from collections.abc import Callable
from typing import Any

from trainer.evaluation import metrics, operating_point
from trainer.evaluation.formats import interval, number, percent

Content = dict[str, Any]

# With fewer examples, results of a subgroup are mostly noise.
_FEW = 30


def of_models(report: Content, tell: Callable[[Content], str | None]) -> str | None:
    """Joins a sentence per model, with the model's name if there are several."""
    told = {
        name: sentence
        for name, model in report["models"].items()
        if (sentence := tell(model)) or not model["members"]  # Runs only, no ensemble.
    }
    said = {name: sentence for name, sentence in told.items() if sentence}
    if len(set(told.values())) == 1:
        return next(iter(said.values()), None)
    return " ".join(f"{name}: {sentence}" for name, sentence in said.items()) or None


def with_interval(numbers: Content, name: str) -> str:
    """Formats a metric's value with its interval."""
    value, bounds = numbers[name], numbers["intervals"].get(name)
    return number(value) if bounds is None else f"{number(value)} ({interval(bounds)})"


def place(report: Content) -> str:
    """Describes where the radiographs come from: a split, a folder or a table."""
    if report["dataset"]:
        return f"split {report['split']} of {report['dataset']}"
    if report["manifest"]:
        return f"own images, the table {report['manifest']}"
    return f"own images, the folder {report['images_dir']}"


def evaluated(report: Content) -> str:
    """States the number of radiographs and of groups."""
    groups = report["bootstrap"]["groups"]
    of_groups = (
        "; patients are not known"
        if groups is None
        else f" in {groups} group{'' if groups == 1 else 's'} of one patient or of copies of one "
        "radiograph"
    )
    return f"{report['examples']} radiographs{of_groups}: {place(report)}."


def class_counts(report: Content) -> str:
    """States the number of radiographs of each class."""
    per_class = report["per_class"]
    return ", ".join(f"{name} {per_class[name]['support']}" for name in report["class_names"]) + "."


def accuracy(model: Content) -> str:
    """States accuracy and balanced accuracy."""
    return (
        f"Accuracy {with_interval(model, metrics.ACCURACY.name)}, balanced accuracy "
        f"{with_interval(model, metrics.BALANCED_ACCURACY.name)}."
    )


def each_class(model: Content) -> str:
    """States sensitivity, specificity and AUROC of each class."""
    return " ".join(
        f"{name}: sensitivity {with_interval(numbers, 'sensitivity')}, specificity "
        f"{with_interval(numbers, 'specificity')}, AUROC {with_interval(numbers, 'auroc')}."
        for name, numbers in model["per_class"].items()
    )


def threshold(model: Content) -> str | None:
    """States the threshold of the operating point and how it was chosen."""
    if not model["operating_point"]:
        return None
    tuning = model["tuning"]
    return (
        f"Positive for {model['positive_class']} from a probability of "
        f"{number(model['operating_point']['threshold'])}, the highest threshold with a "
        f"sensitivity of at least {percent(tuning['sensitivity'], 0)} on the "
        f"{tuning['examples']} examples of {tuning['split']}."
    )


def at_threshold(model: Content) -> str | None:
    """States the results at the operating point."""
    point = model["operating_point"]
    if not point:
        return None
    told = (
        f"{metric.label.lower() if metric.label.istitle() else metric.label} "
        f"{with_interval(point, metric.name)}"
        for metric in operating_point.METRICS
    )
    return f"At that threshold for {model['positive_class']}: {', '.join(told)}."


def calibration(model: Content) -> str:
    """States the calibration of the probabilities."""
    before, after = model["calibration"]["before"], model["calibration"]["after"]
    told = (
        "Predicted probability and observed accuracy differ by "
        f"{number(before['ece'])} on average (expected calibration error)"
    )
    if after:
        told += (
            f", by {number(after['ece'])} after scaling with temperature "
            f"{number(model['calibration']['temperature'])}"
        )
    return f"{told}. The debiased error is {with_interval(before, 'debiased_error')}."


def _radiographs(count: int) -> str:
    return f"{count} radiograph{'' if count == 1 else 's'}"


def worst_class(model: Content) -> str | None:
    """Names the class with the lowest sensitivity."""
    occurring = {name: one for name, one in model["per_class"].items() if one["support"]}
    if len(occurring) < 2:
        return None
    name, numbers = min(occurring.items(), key=lambda item: item[1]["sensitivity"])
    return (
        f"Lowest sensitivity: {name}, {with_interval(numbers, 'sensitivity')} on "
        f"{_radiographs(numbers['support'])}."
    )


def worst_part(model: Content) -> str | None:
    """Names the source, site, sex, age, view or device with the lowest accuracy."""
    parts = {f"source {name}": part for name, part in (model["by_source"] or {}).items()}
    for attribute, values in model["subgroups"].items():
        parts |= {f"{attribute} {value}": part for value, part in values.items()}
    if len(parts) < 2:
        return None
    name, part = min(parts.items(), key=lambda item: item[1]["accuracy"])
    few = ": too few to draw conclusions" if part["examples"] < _FEW else ""
    return (
        f"Lowest accuracy: {name}, {with_interval(part, 'accuracy')} on "
        f"{_radiographs(part['examples'])}{few}."
    )


def source_alone(model: Content) -> str | None:
    """States the score of predicting from the source alone."""
    if not model["source_alone"]:
        return None
    return (
        "A classifier that knows only the source, without seeing the radiograph, reaches accuracy "
        f"{number(model['source_alone']['accuracy'])}; the model reaches "
        f"{number(model['accuracy'])}."
    )


def shortcut_control(model: Content) -> str | None:
    """States the accuracy without the lungs."""
    controls = model["shortcut_controls"]
    if not controls:
        return None
    return (
        f"Accuracy {with_interval(controls['lungs_blanked'], 'accuracy')} with the lungs blanked, "
        f"{with_interval(controls['lungs_only'], 'accuracy')} with everything outside the lungs "
        f"blanked, {with_interval(controls['whole'], 'accuracy')} on the whole radiograph "
        f"({controls['examples']} radiographs with a lung mask; always predicting the most "
        f"frequent class scores {number(controls['most_frequent_class'])})."
    )


def versions(content: Content | None, made: str) -> str | None:
    """Names the software versions; `made` starts the sentence."""
    found = (content or {}).get("versions")
    if not found:
        return None
    return f"{made} {', '.join(f'{name} {version}' for name, version in found.items())}."


def remarks(report: Content) -> str:
    """Joins the limitations of the results."""
    return " ".join(report["remarks"]) or "The report notes no limitation of its examples."
