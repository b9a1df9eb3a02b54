"""Facts for the reviewer's checklist, as sentences; those of training are in `training_facts`."""

from collections.abc import Mapping

from trainer.evaluation import metrics, sentences, training_facts
from trainer.evaluation.formats import percent
from trainer.evaluation.sentences import Content, of_models


def facts(report: Content) -> dict[str, str | None]:
    """Collects the facts for the checklist.

    Args:
        report: the content of report.json.

    Returns:
        Maps the names of facts to sentences; None if the report lacks the fact.
    """
    return {
        **_of_data(report),
        **training_facts.of_training(report),
        **_of_evaluation(report),
        **_of_results(report),
    }


def _of_data(report: Content) -> dict[str, str | None]:
    counts = sentences.class_counts(report)
    return {
        "subject": f"Evaluation of a deep-learning classifier of chest radiographs into "
        f"{', '.join(report['class_names'])}: {', '.join(report['models'])}, on "
        f"{sentences.place(report)}.",
        "purpose": report["research_use"],
        "evaluated": sentences.evaluated(report),
        "digest": f"SHA-256 of the sorted lines id,label: {report['split_digest']}.",
        "counts": f"{report['examples']} radiographs: {counts}",
        "sizes": " ".join(
            filter(None, [of_models(report, training_facts.sizes), f"Evaluated: {counts}"])
        ),
        "left_out": _left_out(report),
        "unit": _unit(report),
        "characteristics": _characteristics(report),
        "difference": _difference(report),
        "sources": of_models(report, _sources),
        "labels": "The label of each radiograph in the dataset, folder or table.",
        "no_judgement": "Not applicable: the model only uses pixel values.",
        "unreadable": "trainer.predict skips and lists unreadable files.",
    }


def _of_evaluation(report: Content) -> dict[str, str | None]:
    bootstrap = report["bootstrap"]
    files = ", ".join(model["predictions"] for model in report["models"].values())
    labels = [metric.label for metric in (*metrics.HEADLINE, *metrics.PER_CLASS)]
    return {
        "measures": f"{', '.join(labels)}; calibration error, reliability diagram, ROC, "
        "precision-recall and decision curves.",
        "uncertainty": f"{percent(bootstrap['confidence'], 0)} percentile bootstrap intervals, "
        f"{bootstrap['resamples']:,} resamples stratified by class, seed {bootstrap['seed']}.",
        "comparison": _comparison(report),
        "output": "A probability for each class. "
        + (of_models(report, sentences.threshold) or "No threshold was chosen."),
        "predicting": f"{report['command']} made these predictions (test-time augmentation: "
        f"{report['tta']}); they are in {files}.",
        "heatmaps": "Not in this report: trainer.export_gradcam computes heatmaps and compares "
        "them with a chance baseline.",
        "evaluated_with": sentences.versions(report, "Evaluated with"),
        "is_internal": f"This report: {sentences.place(report)}."
        if report["dataset"]
        else "Not in this report.",
        "is_external": f"This report: {sentences.place(report)}. It is external only if it comes "
        "from other institutions than the training data.",
    }


def _of_results(report: Content) -> dict[str, str | None]:
    return {
        "accuracy": of_models(report, sentences.accuracy),
        "each_class": of_models(report, sentences.each_class),
        "at_threshold": of_models(report, sentences.at_threshold),
        "calibration": of_models(report, sentences.calibration),
        "subgroups": of_models(report, _subgroups),
        "by_source": of_models(report, _by_source),
        "updating": of_models(report, _updating),
        "robustness": of_models(report, _robustness),
        "failures": of_models(report, _failures),
        "limits": sentences.remarks(report),
        "interpretation": report["comparison"] and f"{report['comparison']['best_why']}.",
    }


def _left_out(report: Content) -> str:
    left_out = report["left_out"]
    if not left_out:
        return f"No file was excluded: all {report['examples']} radiographs were predicted."
    shown = ", ".join(left_out[:3]) + (", ..." if len(left_out) > 3 else "")
    return f"{len(left_out)} files excluded ({shown}); report.json lists all under left_out."


def _unit(report: Content) -> str | None:
    groups = report["bootstrap"]["groups"]
    if groups is None:
        return None
    return (
        f"The {report['examples']} radiographs form {groups} groups of one patient or of copies of "
        "one radiograph, according to the dataset or table; the bootstrap resamples groups."
    )


def _characteristics(report: Content) -> str | None:
    subgroups = next(iter(report["models"].values()))["subgroups"]
    return (
        " ".join(
            f"{attribute}: "
            + ", ".join(f"{value} {part['examples']}" for value, part in values.items())
            + "."
            for attribute, values in subgroups.items()
        )
        or None
    )


def _difference(report: Content) -> str | None:
    if not report["dataset"]:
        return None
    return f"Training and evaluation are splits of {report['dataset']}."


def _sources(model: Content) -> str | None:
    if not model["by_source"]:
        return None
    counts = (f"{name} {part['examples']}" for name, part in model["by_source"].items())
    return f"Evaluated by source: {', '.join(counts)}."


def _subgroups(model: Content) -> str | None:
    return _parts(
        {
            f"{attribute} {value}": part
            for attribute, values in model["subgroups"].items()
            for value, part in values.items()
        }
    )


def _by_source(model: Content) -> str | None:
    return _parts(model["by_source"] or {})


def _parts(parts: Mapping[str, Content]) -> str | None:
    told = (
        f"{name}: accuracy {sentences.with_interval(part, 'accuracy')}"
        for name, part in parts.items()
    )
    return f"{'; '.join(told)}." if parts else None


def _comparison(report: Content) -> str:
    if not report["comparison"]:
        return "A single model: no comparison."
    tests = (test for pair in report["comparison"]["pairs"] for test in pair["tests"])
    methods = ", ".join(["exact McNemar test", *sorted({test["method"] for test in tests})])
    return f"Pairs of models: {methods}; Holm's correction."


def _updating(model: Content) -> str:
    if not model["tuning"]:
        return "The model was not recalibrated."
    return f"{sentences.calibration(model)} No weights were changed."


def _robustness(model: Content) -> str | None:
    told = [sentences.shortcut_control(model), sentences.source_alone(model)]
    return " ".join(filter(None, told)) or None


def _failures(model: Content) -> str:
    folder = "" if model["folder"] == "." else f"{model['folder']}/"
    pictures = f", the {len(model['mistakes'])} most confident errors: {folder}mistakes/"
    return f"Confusion matrix: {folder}confusion_matrix.png{pictures if model['mistakes'] else ''}."
