"""Common properties of runs that are evaluated, or predict, together."""

import dataclasses
import pathlib
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from trainer.data import folds
from trainer.data.dataset import BuiltDataset
from trainer.data.examples import labels_and_sources
from trainer.data.opening import open_dataset
from trainer.data.source_mix import as_trained_on
from trainer.errors import UserError
from trainer.run import Run


def named_runs(workdirs: Sequence[str], *taken: str) -> dict[str, Run]:
    """Names the runs after their directories, or by path if two directories share a name.

    Args:
        workdirs: directories of the runs.
        *taken: reserved names.

    Raises:
        UserError: a run is given twice.
    """
    resolved = [pathlib.Path(path).resolve() for path in workdirs]
    if len(set(resolved)) < len(workdirs):
        raise UserError(f"a run is given twice in --workdir: {', '.join(workdirs)}")
    names = [path.name for path in resolved]
    unique = len({*names, *taken}) == len(names) + len(taken)
    return dict(zip(names if unique else workdirs, map(Run, workdirs), strict=True))


def classes_and_shape(
    contents: Mapping[str, dict[str, Any]],
) -> tuple[tuple[str, ...], tuple[int, int, int]]:
    """Returns the classes and the image shape that all runs were trained on.

    Args:
        contents: content of config.json by run name.

    Raises:
        UserError: the runs differ.
    """
    (first, content), *others = contents.items()
    for name, other in others:
        for key in ("class_names", "image_shape"):
            if other["dataset"][key] != content["dataset"][key]:
                raise UserError(
                    f"the runs cannot be compared: {first} was trained with {key} "
                    f"{content['dataset'][key]}, {name} with {other['dataset'][key]}"
                )
    return tuple(content["dataset"]["class_names"]), tuple(content["dataset"]["image_shape"])


def class_named(name: str | None, class_names: Sequence[str]) -> int:
    """Returns the label of the class named by --positive_class, by default the first.

    Raises:
        UserError: the class does not exist.
    """
    if name and name not in class_names:
        raise UserError(
            f"--positive_class={name}: there is no such class; expected one of "
            f"{', '.join(class_names)}"
        )
    return class_names.index(name) if name else 0


def one_dataset(contents: Mapping[str, dict[str, Any]], data_dir: str | None) -> BuiltDataset:
    """Opens the dataset that all runs were trained on.

    Args:
        contents: content of config.json by run name; with equal classes.
        data_dir: directory of the dataset; None: the one recorded by the runs.

    Raises:
        UserError: the dataset does not exist, or differs from the one the runs were trained on.
    """
    names = {content["config"]["dataset"] for content in contents.values()}
    if len(names) > 1:
        raise UserError(
            f"the runs were trained on different datasets ({', '.join(sorted(names))}): "
            "evaluate each by itself, or on a folder with --images_dir"
        )
    places = {content["config"]["data_dir"] for content in contents.values()}
    if len(places) > 1 and not data_dir:
        raise UserError(
            f"the runs found their dataset in different places ({', '.join(sorted(places))}): "
            "give --data_dir=DIR, and be sure that all were trained on its training split"
        )
    dataset = open_dataset(names.pop(), data_dir or places.pop())
    for name, content in contents.items():
        dataset.require_classes(content["dataset"]["class_names"])
        dataset.require_content(name, content)
    return dataset


def splits_of(contents: Mapping[str, dict[str, Any]]) -> tuple[str, str]:
    """Returns the splits that all runs were trained and validated on.

    Args:
        contents: content of config.json by run name.

    Raises:
        UserError: the splits of the runs differ.
    """
    found = {
        tuple(content["config"].get(f"{split}_split", split) for split in ("train", "validation"))
        for content in contents.values()
    }
    if len(found) > 1:
        raise UserError(
            "the runs were trained or validated on different splits "
            f"({' and '.join(', '.join(splits) for splits in sorted(found))}): evaluate each by "
            "itself"
        )
    return found.pop()


def tested_split(contents: Mapping[str, dict[str, Any]]) -> str:
    """Returns the default split to evaluate runs on.

    Args:
        contents: content of config.json by run name; with equal splits.

    Returns:
        The fold held out by the runs, or `test`.
    """
    held_out = [content["config"].get("fold") for content in contents.values()]
    return next((folds.splits_of(fold).held_out for fold in held_out if fold), "test")


def trained_on(
    dataset: BuiltDataset, split: str, contents: Mapping[str, dict[str, Any]], ensemble: str
) -> dict[str, tuple[np.ndarray, np.ndarray]]:
    """Returns labels and sources of each run's training examples.

    Args:
        dataset: the dataset that all runs were trained on, with a feature `source`.
        split: its split, or a part of one.
        contents: content of config.json by run name.
        ensemble: name of the ensemble.

    Returns:
        By name, as returned by `labels_and_sources`. For the ensemble: the whole split, unless its
        members were trained on the same examples.
    """
    drawn = {name: as_trained_on(dataset, run["config"]) for name, run in contents.items()}
    mixes = {one.source_mix for one in drawn.values()}
    alike = mixes.pop() if len(mixes) == 1 else None
    drawn[ensemble] = dataclasses.replace(dataset, source_mix=alike)
    return {name: labels_and_sources(one, split) for name, one in drawn.items()}
