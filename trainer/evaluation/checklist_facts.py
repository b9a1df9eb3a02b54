"""Sentences about the data, training, evaluation and results, for the reviewer's checklist."""

from collections.abc import Mapping

from trainer.evaluation import metrics, sentences
from trainer.evaluation.formats import percent
from trainer.evaluation.population import population
from trainer.evaluation.sentences import Content, of_models

_AUGMENTATIONS = ("flip", "rotation", "shift", "zoom", "brightness", "contrast", "erasing")
_OPTIMIZATION = (
    "recipe", "optimizer", "learning_rate", "schedule", "weight_decay", "global_batch_size",
    "epochs", "patience", "label_smoothing", "dropout", "deterministic",
)  # fmt: skip


def facts(report: Content) -> dict[str, str | None]:
    """Tells all that the checklist asks for.

    Args:
        report: the content of report.json.

    Returns:
        Name of a fact to a text; None of one that the report does not know.
    """
    return {
        **_of_data(report),
        **_of_training(report),
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
        "trained_on": of_models(report, _trained_on),
        "evaluated": sentences.evaluated(report),
        "digest": f"SHA-256 of the sorted lines id,label: {report['split_digest']}.",
        "counts": f"{report['examples']} radiographs: {counts}",
        "sizes": " ".join(filter(None, [of_models(report, _sizes), f"Evaluated: {counts}"])),
        "left_out": _left_out(report),
        "unit": _unit(report),
        "population": of_models(report, _population),
        "characteristics": _characteristics(report),
        "difference": _difference(report),
        "sources": of_models(report, _sources),
        "labels": "The label of each radiograph in the dataset, folder or table.",
        "no_judgement": "Not applicable: the model only uses pixel values.",
        "unreadable": "trainer.predict skips and lists unreadable files.",
    }


def _of_training(report: Content) -> dict[str, str | None]:
    return {
        "input": of_models(report, _input),
        "network": of_models(report, _network),
        "weights": of_models(report, _weights),
        "training": of_models(report, _training),
        "selection": of_models(report, _selection),
        "ensemble": of_models(report, _ensemble),
        "imbalance": of_models(report, _imbalance),
        "software": of_models(report, lambda model: _versions(model["run_config"], "Trained with")),
        "files": of_models(report, _files),
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
        "evaluated_with": _versions(report, "Evaluated with"),
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


def _config(model: Content) -> Mapping[str, object]:
    return model["run_config"]["config"] if model["run_config"] else {}


def _trained_on(model: Content) -> str | None:
    if not model["run_config"]:
        return None
    config = _config(model)
    fold, share = config.get("fold"), config.get("source_share")
    part = (
        f"fold {fold} held out, the next fold used for validation"
        if fold
        else f"split {config.get('train_split', 'train')}"
    )
    drawn = f", resampled with --source_share={share}" if share else ""
    return f"Trained on {config['dataset']}, {part}{drawn}."


def _sizes(model: Content) -> str | None:
    if not model["run_config"]:
        return None
    data, tuning = model["run_config"]["dataset"], model["tuning"]
    tuned = f", {tuning['examples']} to tune temperature and thresholds" if tuning else ""
    return (
        f"{data['train_examples']} training radiographs, {data['validation_examples']} to "
        f"select the epoch{tuned}."
    )


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


def _population(model: Content) -> str | None:
    config = _config(model)
    return population(str(config["dataset"])) if config else None


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


def _input(model: Content) -> str | None:
    if not model["run_config"]:
        return None
    shape = " x ".join(map(str, model["run_config"]["dataset"]["image_shape"]))
    config = _config(model)
    scaling = f", scaled inside the model ({config['scaling']})" if "scaling" in config else ""
    return f"One grayscale radiograph, resized to {shape} uint8{scaling}; no other patient data."


def _network(model: Content) -> str | None:
    if not model["run_config"]:
        return None
    parameters = model["run_config"]["parameters"]
    return (
        f"{model['model']}, {parameters['total']:,} parameters, {parameters['trainable']:,} of "
        "them trainable."
    )


def _weights(model: Content) -> str | None:
    config = _config(model)
    if "weights" not in config:
        return None
    if config["weights"] == "none":
        return f"Random weights, seed {config['seed']}."
    return (
        f"Pretrained weights {config['weights']}; the other layers random, seed {config['seed']}."
    )


def _settings(model: Content, names: tuple[str, ...]) -> str:
    config = _config(model)
    return ", ".join(f"{name.replace('_', ' ')} {config[name]}" for name in names if name in config)


def _training(model: Content) -> str | None:
    chosen, drawn = _settings(model, _OPTIMIZATION), _settings(model, _AUGMENTATIONS)
    if not chosen:
        return None
    return f"{chosen}; augmentation: {drawn}. All settings: run_config in report.json."


def _selection(model: Content) -> str | None:
    if not model["run_config"]:
        return None
    examples = model["run_config"]["dataset"]["validation_examples"]
    return f"The epoch with the lowest loss on {examples} validation radiographs was selected."


def _ensemble(model: Content) -> str | None:
    if not model["members"]:
        return "A single model."
    return f"The mean of the probabilities of {', '.join(model['members'])}."


def _imbalance(model: Content) -> str | None:
    settings = _settings(model, ("class_weights",))
    return f"{settings.capitalize()}." if settings else None


def _versions(content: Content | None, made: str) -> str | None:
    versions = (content or {}).get("versions")
    if not versions:
        return None
    return f"{made} {', '.join(f'{name} {version}' for name, version in versions.items())}."


def _files(model: Content) -> str | None:
    if not model["run_config"]:
        return None
    return f"model.keras of {model['run']}, SHA-256 {model['model_sha256']}."


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
