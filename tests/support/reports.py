"""Reports on models with given probabilities."""

import json

import numpy as np

from tests.support.report_schemas import require_valid
from tests.support.simulated import CLASSES
from trainer.data.examples import Examples
from trainer.evaluation.comparison import compare
from trainer.evaluation.model_report import AboutModel, Setup, evaluate_model
from trainer.evaluation.original import beside_original
from trainer.evaluation.predictions import Predictions
from trainer.evaluation.report import Bootstrap, Report, write_report
from trainer.evaluation.resampling import Resampling
from trainer.evaluation.tasks import Multiclass
from trainer.evaluation.tuning import tune

ABOUT = {
    "note": "<script>alert(1)</script>",
    "dataset": "covid19_radiography/224x224:1.0.0", "dataset_version": "1.0.0",
    "images_dir": None, "manifest": None, "split": "test", "split_digest": "0" * 64, "left_out": [],
    "class_names": list(CLASSES), "remarks": [], "tta": "none", "command": "python -m ...",
    "bootstrap": Bootstrap(resamples=100, seed=0, confidence=0.95, groups=None),
    "created": "2020-01-01T00:00:00+00:00", "versions": {"python": "3"},
}  # fmt: skip
RUN_CONFIG = {
    "config": {"model": "lenet", "dataset": "d", "data_dir": "</pre><script>"},
    "dataset": {"image_shape": [8, 6, 1], "train_examples": 3, "validation_examples": 2},
    "parameters": {"total": 1234, "trainable": 1234},
}


def make_examples(labels, class_names=CLASSES, ids=None, image_shape=(8, 6, 1), **known):
    generator = np.random.default_rng(0)
    return Examples(
        class_names=class_names,
        ids=np.array([f"case-{row}" for row in range(len(labels))]) if ids is None else ids,
        labels=np.asarray(labels),
        images=generator.integers(0, 256, (len(labels), *image_shape), dtype=np.uint8),
        **known,
    )


def write(
    directory, examples, *, train=None, validation=True, kept=None, class_names=CLASSES,
    note=ABOUT["note"], prevalences=(), **probabilities,
):  # fmt: skip
    """Evaluates models with given probabilities and writes a report; returns report.json."""
    resampling = Resampling(examples.labels, examples.groups, 100, 0)
    setup = Setup(examples, resampling, 0, train, prevalences)
    predictions, models = [], {}
    for name, shares in probabilities.items():
        masked = examples.masked if examples.masks is not None else []
        views = {view: shares[masked] for view in ("lungs_only", "lungs_blanked")}
        model = Predictions(name, shares, shares, views if len(masked) else {})
        predictions.append(model)
        tuning = kept or (tune(shares, examples, "validation") if validation else None)
        about = AboutModel(
            name=name, run=name, model="lenet", members=None, run_config=RUN_CONFIG,
            model_sha256="0" * 64, positive_class=class_names[0],
        )  # fmt: skip
        models[name] = evaluate_model(model, tuning, "no validation here", setup, about)
    tasks = {name: Multiclass(examples.labels, shares) for name, shares in probabilities.items()}
    comparison = None
    if len(models) > 1:
        thresholds = {name: model.threshold for name, model in models.items()}
        comparison = compare(tasks, resampling, class_names, 0, thresholds)
    about = ABOUT | {"class_names": list(class_names), "note": note}
    report = Report(
        **about,
        examples=len(examples.ids),
        comparison=comparison,
        original=beside_original(ABOUT["dataset"], [("lenet", "run", 0.5)]),
        models=models,
    )
    write_report(directory, report, examples, predictions)

    def refuse(constant):
        raise AssertionError(f"{constant} is no JSON")

    content = json.loads((directory / "report.json").read_text(), parse_constant=refuse)
    require_valid(content)
    return content


def sources_of(labels):
    return np.where(np.asarray(labels) == 0, "bimcv", "rsna")
