"""Reports on models whose probabilities are given."""

import json

import numpy as np

from tests.support.simulated import CLASSES
from trainer.data.cases import Cases
from trainer.evaluation.answers import Answers
from trainer.evaluation.comparison import compare
from trainer.evaluation.judgement import Bench, judge
from trainer.evaluation.original import beside_original
from trainer.evaluation.report import write_report
from trainer.evaluation.resampling import Resampling
from trainer.evaluation.tuning import tune

ABOUT = {
    "note": "<script>alert(1)</script>",
    "dataset": "covid19_radiography/224x224:1.0.0", "dataset_version": "1.0.0",
    "images_dir": None, "split": "test", "split_digest": "0" * 64, "left_out": [],
    "class_names": list(CLASSES), "remarks": [], "tta": "none", "command": "python -m ...",
    "bootstrap": {"resamples": 100, "seed": 0, "confidence": 0.95, "groups": None},
    "created": "2020-01-01T00:00:00+00:00", "versions": {"python": "3"},
}  # fmt: skip
RUN_CONFIG = {
    "config": {"model": "lenet", "dataset": "d", "data_dir": "</pre><script>"},
    "dataset": {"image_shape": [8, 6, 1], "train_examples": 3, "validation_examples": 2},
    "parameters": {"total": 1234, "trainable": 1234},
}


def make_cases(labels, class_names=CLASSES, ids=None, **known):
    generator = np.random.default_rng(0)
    return Cases(
        class_names=class_names,
        ids=np.array([f"case-{row}" for row in range(len(labels))]) if ids is None else ids,
        labels=np.asarray(labels),
        images=generator.integers(0, 256, (len(labels), 8, 6, 1), dtype=np.uint8),
        **known,
    )


def write(
    directory, cases, *, train=None, validation=True, class_names=CLASSES, note=ABOUT["note"],
    **probabilities,
):  # fmt: skip
    """Judges models of the given probabilities and writes their report; returns report.json."""
    resampling = Resampling(cases.labels, cases.groups, 100, 0)
    bench = Bench(cases, resampling, 0, train)
    answers, judged = [], {}
    for name, shares in probabilities.items():
        masked = cases.masked if cases.masks is not None else []
        views = {view: shares[masked] for view in ("lungs_only", "lungs_blanked")}
        model = Answers(name, shares, shares, views if len(masked) else {})
        answers.append(model)
        tuning = tune(shares, cases, "validation") if validation else None
        judged[name] = judge(model, tuning, "no validation here", bench) | {
            "name": name, "run": name, "model": "lenet", "positive_class": class_names[0],
            "members": None, "run_config": RUN_CONFIG, "model_sha256": "0" * 64,
        }  # fmt: skip
    right = {name: shares.argmax(axis=1) == cases.labels for name, shares in probabilities.items()}
    about = ABOUT | {
        "class_names": list(class_names),
        "note": note,
        "examples": len(cases.ids),
        "comparison": compare(right, resampling) if len(answers) > 1 else None,
        "original": beside_original(ABOUT["dataset"], [("lenet", "run", 0.5)]),
    }
    write_report(directory, cases=cases, answers=answers, judged=judged, about=about)

    def refuse(constant):
        raise AssertionError(f"{constant} is no JSON")

    return json.loads((directory / "report.json").read_text(), parse_constant=refuse)


def sources_of(labels):
    return np.where(np.asarray(labels) == 0, "bimcv", "rsna")
