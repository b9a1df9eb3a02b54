"""Tests whether radiographs have drifted from those that a run was tested on."""

import contextlib
import dataclasses
import json
import pathlib
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from absl import logging
from statsmodels.stats.multitest import multipletests

from trainer.data.dataset import BuiltDataset
from trainer.data.records import read_batches
from trainer.data.selection import is_split, select
from trainer.directory import move_files, unfinished, writing_to
from trainer.errors import UserError
from trainer.evaluation.formats import interval, number, p_value
from trainer.evaluation.json_content import json_content
from trainer.evaluation.several_runs import classes_and_shape, one_dataset, splits_of
from trainer.prediction.image_list import ImageList
from trainer.prediction.read_ahead import read_ahead
from trainer.prediction.rows import Reading
from trainer.prediction.two_samples import (
    Difference,
    kolmogorov_smirnov,
    maximum_mean_discrepancy,
)
from trainer.run import Run
from trainer.templates import RESEARCH_USE

# Maximum number of radiographs per side; more are sampled randomly. 50 MB at 224x224.
MOST = 1_000
LEAST = 20
ALPHA = 0.05
FEATURES = "features"
_HOW_TO_READ = (
    "statistic: Kolmogorov-Smirnov statistic (0 to 1), for features the squared maximum mean "
    "discrepancy. p_holm: p-value after Holm's correction over all tests in this file; a "
    "difference is reported below 0.05. It may come from devices, patients or only from class "
    "frequencies; finding none does not prove that there is none. Radiographs are treated as "
    "independent: several per patient make the p-values too small."
)

# Maps radiographs, `[examples, H, W, 1] uint8`, to probabilities and features.
Predict = Callable[[np.ndarray], tuple[np.ndarray, np.ndarray]]


@dataclasses.dataclass(frozen=True)
class Reference:
    """The reference radiographs of a comparison.

    Attributes:
        run: path of the run.
        dataset: the dataset of the run.
        split: the test split, unseen by the network; without one, the validation split.
        seed: the run's seed, for the random subset.
    """

    run: str
    dataset: BuiltDataset
    split: str
    seed: int


@dataclasses.dataclass(frozen=True)
class Tested(Difference):
    """A difference, as one of several tests.

    Attributes:
        p_holm: the p-value after Holm's correction over all tests.
    """

    p_holm: float


def open_reference(workdir: str, network: dict[str, Any], data_dir: str | None) -> Reference:
    """Finds the reference radiographs of a run.

    Args:
        workdir: directory of the run.
        network: content of config.json of the predicting network.
        data_dir: directory of the run's dataset; None: the one recorded by the run.

    Returns:
        The reference.

    Raises:
        UserError: the dataset is missing, or the run has other classes or another image size.
    """
    content = Run(workdir).finished_config()
    classes_and_shape({"the model": network, workdir: content})
    dataset = one_dataset({workdir: content}, data_dir)
    split = "test" if is_split(dataset, "test") else splits_of({workdir: content})[1]
    if (examples := len(select(dataset, split))) < 2:
        raise UserError(
            f"--drift_from={workdir}: split {split} of {dataset.name} has {examples} radiograph; "
            "expected 2 or more to compare with"
        )
    return Reference(workdir, dataset, split, content["config"].get("seed", 0))


def write_drift(
    path: pathlib.Path, reference: Reference, predict: Predict, new: np.ndarray, named: str
) -> None:
    """Compares radiographs with a reference, writes a JSON file and logs three lines.

    Args:
        path: the file; an existing one is replaced.
        reference: the reference radiographs.
        predict: the network.
        new: `[examples, H, W, 1] uint8`, the result of `sample`.
        named: the user's name for the radiographs.

    Raises:
        UserError: the run's radiographs cannot be read, or the file cannot be written.
    """
    old = _radiographs_of(reference)
    names = reference.dataset.class_names
    tests = compare(_numbers(new, predict, names), _numbers(old, predict, names), reference.seed)
    content = {
        "research_use": RESEARCH_USE,
        "how_to_read": _HOW_TO_READ,
        "images": {"named": named, "examples": len(new)},
        "reference": {
            "run": reference.run,
            "dataset": reference.dataset.name,
            "split": reference.split,
            "examples": len(old),
        },
        "sampled_at_most": MOST,
        "seed": reference.seed,
        "tests": json_content(tests),
    }
    text = json.dumps(content, indent=2, allow_nan=False) + "\n"
    with writing_to(path.parent), unfinished(path.parent) as partial:
        (partial / path.name).write_text(text, encoding="utf-8")
        move_files(partial, path.parent)
    _log(path, reference, tests, len(new), len(old))


def sample(reading: Reading, seed: int) -> np.ndarray:
    """Reads a random subset of the radiographs of a list.

    Args:
        reading: how to read the list.
        seed: seed of the subset.

    Returns:
        `[examples, height, width, 1] uint8`, at most `MOST`: the readable ones of the subset.
    """
    paths, image_shape = reading.images.paths, reading.image_shape
    order = np.random.default_rng(seed).permutation(len(paths))[:MOST]
    chosen = dataclasses.replace(reading.images, paths=[paths[place] for place in np.sort(order)])
    ahead = read_ahead(chosen, 0, image_shape, depth=reading.depth, any_view=reading.any_view)
    with contextlib.closing(ahead) as files:
        found = [file.image for file in files if file.image is not None]
    return np.stack(found) if found else np.empty((0, *image_shape), np.uint8)


def compare(new: dict[str, np.ndarray], old: dict[str, np.ndarray], seed: int) -> dict[str, Tested]:
    """Tests the difference of every statistic, and of the features, between two sets.

    Args:
        new: `[new]` by name, and under `FEATURES` `[new, features]`.
        old: the same for the reference.
        seed: seed of permutations and resamples.

    Returns:
        The tests by name, with Holm's correction over all of them.
    """
    found = {
        name: (maximum_mean_discrepancy if name == FEATURES else kolmogorov_smirnov)(
            values, old[name], seed
        )
        for name, values in new.items()
    }
    corrected = multipletests([one.p for one in found.values()], method="holm")[1]
    return {
        name: Tested(one.statistic, one.interval, one.p, float(p_holm))
        for (name, one), p_holm in zip(found.items(), corrected, strict=True)
    }


def _numbers(
    images: np.ndarray, predict: Predict, class_names: Sequence[str]
) -> dict[str, np.ndarray]:
    probabilities, features = predict(images)
    gray = images.reshape(len(images), -1)
    numbers = {
        f"probability of {name}": column
        for name, column in zip(class_names, probabilities.T, strict=True)
    }
    numbers |= {"mean of gray values": gray.mean(axis=1), "sd of gray values": gray.std(axis=1)}
    return numbers | {FEATURES: features.astype(np.float64)}


def _radiographs_of(reference: Reference) -> np.ndarray:
    dataset = reference.dataset
    records = select(dataset, reference.split).sample(MOST, reference.seed)
    with dataset.reading(reference.split):
        return np.concatenate([b["image"] for b in read_batches(dataset, records, ["image"])])


def _log(
    path: pathlib.Path, reference: Reference, tests: dict[str, Tested], new: int, old: int
) -> None:
    found = [name for name, test in tests.items() if test.p_holm < ALPHA]
    logging.info(
        "drift: %d radiographs compared with %d of split %s of %s (%s)",
        new, old, reference.split, reference.dataset.name, path,
    )  # fmt: skip
    logging.info(
        "drift: %d of %d tests find a difference (5 %%, Holm's correction)%s",
        len(found), len(tests),
        f": {', '.join(found)}" if found else ", which does not prove that there is none",
    )  # fmt: skip
    name = max((name for name in tests if name != FEATURES), key=lambda n: tests[n].statistic)
    logging.info(
        "drift: the largest difference is in the %s: Kolmogorov-Smirnov statistic %s "
        "(95 %% interval %s), p %s after Holm's correction",
        name, number(tests[name].statistic), interval(tests[name].interval),
        p_value(tests[name].p_holm),
    )  # fmt: skip


def require_enough(images: ImageList) -> None:
    """Raises `UserError` if there are too few files for a meaningful comparison."""
    if len(images.paths) < LEAST:
        raise UserError(
            f"--drift_from compares {LEAST} radiographs or more, and --images names "
            f"{len(images.paths)}"
        )
