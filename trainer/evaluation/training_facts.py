"""Facts about the training of models, as sentences, for the reviewer's checklist."""

from collections.abc import Mapping

from trainer.evaluation.population import population
from trainer.evaluation.sentences import Content, of_models, versions

_AUGMENTATIONS = ("flip", "rotation", "shift", "zoom", "brightness", "contrast", "erasing")
_OPTIMIZATION = (
    "recipe", "optimizer", "learning_rate", "schedule", "weight_decay", "global_batch_size",
    "epochs", "patience", "label_smoothing", "dropout", "deterministic",
)  # fmt: skip


def of_training(report: Content) -> dict[str, str | None]:
    """Returns the facts about training for `checklist_facts.facts`."""
    return {
        "trained_on": of_models(report, _trained_on),
        "population": of_models(report, _population),
        "input": of_models(report, _input),
        "network": of_models(report, _network),
        "weights": of_models(report, _weights),
        "training": of_models(report, _training),
        "selection": of_models(report, _selection),
        "ensemble": of_models(report, _ensemble),
        "imbalance": of_models(report, _imbalance),
        "software": of_models(report, lambda model: versions(model["run_config"], "Trained with")),
        "files": of_models(report, _files),
    }


def sizes(model: Content) -> str | None:
    """States the numbers of radiographs for training, model selection and tuning."""
    if not model["run_config"]:
        return None
    data, tuning = model["run_config"]["dataset"], model["tuning"]
    tuned = f", {tuning['examples']} to tune temperature and thresholds" if tuning else ""
    return (
        f"{data['train_examples']} training radiographs, {data['validation_examples']} to "
        f"select the epoch{tuned}."
    )


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


def _population(model: Content) -> str | None:
    config = _config(model)
    return population(str(config["dataset"])) if config else None


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


def _files(model: Content) -> str | None:
    if not model["run_config"]:
        return None
    return f"model.keras of {model['run']}, SHA-256 {model['model_sha256']}."
