"""How many foreign images the flag of unusual radiographs detects, and which it misses.

    python -m benchmarks.strangers --workdir=RUN --data_dir=DATA [--count=140] [--seed=0]

RUN is a finished run, DATA its dataset. Images of every kind in `benchmarks.foreign_pictures` are
compared with the training radiographs, as in `trainer.predict`. For each kind, the table shows how
many are flagged, with the exact binomial interval, and the area under the ROC curve against the
test radiographs, for which flags are false alarms. Two other scores are shown for comparison: the
Mahalanobis distance of unnormalized features (Lee et al., 2018) and the distance to the nearest
training features (Sun et al., 2022), with thresholds chosen in the same way.
"""

import dataclasses
import json
import pathlib
from collections.abc import Callable
from typing import Any

import faiss
import numpy as np
from absl import flags
from sklearn.covariance import LedoitWolf
from sklearn.metrics import roc_auc_score

from benchmarks.foreign_pictures import foreign_pictures
from benchmarks.machine import describe
from cxr_command.runner import Command

_TEST = "test radiographs"
Score = Callable[[np.ndarray], np.ndarray]


def measure(workdir: str, data_dir: str | None, count: int, seed: int) -> dict[str, dict[str, Any]]:
    """Scores images of every kind.

    Args:
        workdir: directory of the run.
        data_dir: directory of its dataset; None: the one recorded by the run.
        count: number of images per kind.
        seed: random seed.

    Returns:
        By kind: `examples`, `flagged`, `share` and `interval`; by score, `auroc` and `shares`, the
        share that would be flagged; and `confident`, the share with a class probability above 90 %.
    """
    from trainer.data.examples import load_split
    from trainer.evaluation.fitting import training_features
    from trainer.evaluation.predictions import predictor_with_features
    from trainer.evaluation.several_runs import one_dataset, splits_of
    from trainer.evaluation.training_features import PASSING
    from trainer.evaluation.unusual import flagged
    from trainer.run import Run

    run, best = Run(workdir), Run(workdir).load_model()
    content = run.finished_config()
    dataset = one_dataset({workdir: content}, data_dir)
    fitted = training_features(content, best, run.path, data_dir)
    if fitted is None:
        raise ValueError(f"there is nothing to compare with: {workdir} has no training features")
    predict = predictor_with_features(best.network, flip=False)
    splits = (*splits_of({workdir: content}), "test")
    train, validation, test = (load_split(dataset, split) for split in splits)
    of_train, of_validation, of_test = (predict(one.images)[1] for one in (train, validation, test))
    scores: dict[str, Score] = {
        "flag": fitted.distance,
        "Mahalanobis": mahalanobis(of_train, train.labels),
        "nearest": nearest(of_train),
    }
    usual = {name: score(of_test) for name, score in scores.items()}
    thresholds = {
        name: np.quantile(score(of_validation), PASSING, method="inverted_cdf")
        for name, score in scores.items()
    }
    found = {}
    for kind, images in ({_TEST: test.images} | foreign_pictures(test.images, count, seed)).items():
        probabilities, features = predict(images)
        values = {name: score(features) for name, score in scores.items()}
        found[kind] = dataclasses.asdict(flagged(values["flag"] > 1)) | {
            "auroc": {name: area(usual[name], values[name]) for name in scores},
            "shares": {name: float(np.mean(values[name] > thresholds[name])) for name in scores},
            "confident": float(np.mean(probabilities.max(axis=1) > 0.9)),
        }
    return found


def area(usual: np.ndarray, strange: np.ndarray) -> float:
    """Computes the area under the ROC curve of a score that should be higher for foreign images."""
    labels = np.repeat([0, 1], [len(usual), len(strange)])
    return float(roc_auc_score(labels, np.concatenate([usual, strange])))


def mahalanobis(features: np.ndarray, labels: np.ndarray) -> Score:
    """Mahalanobis distance to the nearest class mean, shared covariance (Lee et al., 2018)."""
    features = features.astype(float)
    means = np.stack([features[labels == label].mean(axis=0) for label in np.unique(labels)])
    precision = (
        LedoitWolf(assume_centered=True)
        .fit(features - means[np.unique(labels, return_inverse=True)[1]])
        .precision_
    )

    def score(others: np.ndarray) -> np.ndarray:
        offsets = others.astype(float)[:, None] - means[None]
        return np.einsum("emi,ij,emj->em", offsets, precision, offsets).min(axis=1)

    return score


def nearest(features: np.ndarray) -> Score:
    """Distance to the nearest unit-length features (Sun et al., 2022, with one neighbour)."""

    def unit(some: np.ndarray) -> np.ndarray:
        some = some.astype(np.float32)
        return some / np.maximum(np.linalg.norm(some, axis=1, keepdims=True), 1e-12)

    index = faiss.IndexFlatL2(features.shape[1])
    index.add(unit(features))
    return lambda others: index.search(unit(others), 1)[0][:, 0]


def _print_table(found: dict[str, dict[str, Any]]) -> None:
    names = list(found[_TEST]["shares"])
    print(f"{'':22}{'n':>5}{'flagged':>9}{'95 % interval':>15}{'confident':>11}", end="")
    print("".join(f"{name:>20}" for name in names))
    strangers = [row for kind, row in found.items() if kind != _TEST]
    for kind, row in found.items():
        low, high = row["interval"]
        bounds = f"{low:.1%} - {high:.1%}"
        print(f"{kind:22}{row['examples']:5}{row['share']:9.1%}{bounds:>15}", end="")
        print(f"{row['confident']:11.0%}" + "".join(_cell([row], name) for name in names))
    print(f"{'mean of the strangers':62}" + "".join(_cell(strangers, name) for name in names))
    print("by score: the area under the ROC curve, and what is flagged")


def _cell(rows: list[dict[str, Any]], name: str) -> str:
    areas, shares = (np.mean([row[key][name] for row in rows]) for key in ("auroc", "shares"))
    return f"{areas:13.3f}{shares:7.1%}"


def _define_flags() -> None:
    flags.DEFINE_string("workdir", None, "Directory of a finished run.", required=True)
    flags.DEFINE_string(
        "data_dir", None, "Data directory of the dataset; default: that of the run."
    )
    flags.DEFINE_integer("count", 140, "Images of each kind.", lower_bound=1)
    flags.DEFINE_integer("seed", 0, "Seed of the draws.", lower_bound=0)


def _main() -> None:
    options = flags.FLAGS
    found = measure(options.workdir, options.data_dir, options.count, options.seed)
    _print_table(found)
    run = str(pathlib.Path(options.workdir).name)
    print(json.dumps({"benchmark": "strangers", "run": run, "kinds": found, "machine": describe()}))


if __name__ == "__main__":
    Command(_main, _define_flags).run()
