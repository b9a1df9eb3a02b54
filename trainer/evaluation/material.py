"""The examples that runs are evaluated on, and the required data of their dataset."""

import dataclasses
from collections.abc import Mapping
from typing import Any

import numpy as np

from trainer.data.dataset import BuiltDataset
from trainer.data.examples import Examples, load_split
from trainer.data.selection import is_split, select
from trainer.data.source_mix import as_trained_on
from trainer.evaluation.remarks import remarks
from trainer.evaluation.seen import what_was_seen
from trainer.evaluation.several_runs import one_dataset, splits_of, tested_split, trained_on


@dataclasses.dataclass(frozen=True)
class Material:
    """The data for an evaluation.

    Attributes:
        examples: the examples to predict.
        made_on: the splits that the runs were trained and validated on.
        dataset: the dataset of the examples; None for a user's own images.
        split: split of the dataset; None for a user's own images.
        validation: the examples used to fit temperature and thresholds; None if there are none.
        train: labels and sources of each run's training examples; empty if the sources are unknown.
    """

    examples: Examples
    made_on: tuple[str, str]
    dataset: BuiltDataset | None = None
    split: str | None = None
    validation: Examples | None = None
    train: Mapping[str, tuple[np.ndarray, np.ndarray]] = dataclasses.field(default_factory=dict)


def of_split(
    contents: Mapping[str, dict[str, Any]], split: str | None, data_dir: str | None, ensemble: str
) -> Material:
    """Loads a split of the dataset that all runs were trained on.

    Args:
        contents: content of config.json by run name.
        split: the split; None: `test`, or the fold that the runs hold out.
        data_dir: directory of the dataset; None: the one recorded by the runs.
        ensemble: name of the ensemble of the runs.

    Raises:
        UserError: the dataset or the split does not exist.
    """
    train, validation = made_on = splits_of(contents)
    dataset, split = one_dataset(contents, data_dir), split or tested_split(contents)
    examples = load_split(dataset, split)
    tells_sources = examples.sources is not None and is_split(dataset, train)
    return Material(
        examples=examples,
        made_on=made_on,
        dataset=dataset,
        split=split,
        validation=load_split(dataset, validation) if is_split(dataset, validation) else None,
        train=trained_on(dataset, train, contents, ensemble) if tells_sources else {},
    )


def remarks_on(
    material: Material, contents: Mapping[str, dict[str, Any]], data_dir: str | None
) -> list[str]:
    """Lists caveats about the examples and the training of the runs.

    Args:
        material: the data of the evaluation.
        contents: content of config.json by run name.
        data_dir: as of `of_split`.
    """
    sizes = {name: run["dataset"]["train_examples"] for name, run in contents.items()}
    dataset, made_on, split = material.dataset, material.made_on, material.split
    if dataset is None or split is None:
        seen = what_was_seen(material.examples, contents, made_on, data_dir)
        return [*seen, *remarks(material.examples, split, 0, {}, sizes)]
    tested = select(dataset, split)
    used = {one: select(dataset, one) for one in made_on if is_split(dataset, one)}
    shared = sum(records.shares_with(tested) for records in used.values())
    found = {
        name: len(select(as_trained_on(dataset, run["config"]), made_on[0]))
        for name, run in contents.items()
        if made_on[0] in used
    }
    return remarks(material.examples, split, shared, found, sizes)
