"""What runs are evaluated on: examples, and what of their dataset is needed beside them."""

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
    """What runs are evaluated on.

    Attributes:
        examples: what is predicted.
        made_on: the splits that the runs were trained and validated on.
        dataset: the dataset that they are of; None for a user's own images.
        split: its split; None likewise.
        validation: the examples that temperature and thresholds are chosen on; None if there are
            none.
        train: of each run, labels and sources of what it was trained on; empty where the sources
            are not known.
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
    """A split of the dataset that all runs were trained on.

    Args:
        contents: of the runs' config.json, by their names.
        split: the split; None: `test`, or the fold that the runs hold out.
        data_dir: where the dataset lies; None: where the runs found it.
        ensemble: the name of the runs' mean.

    Raises:
        UserError: there is no such dataset or split.
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
    """What a reader should know first: of the examples, and of what the runs were made with.

    Args:
        material: what they are evaluated on.
        contents: of the runs' config.json, by their names.
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
