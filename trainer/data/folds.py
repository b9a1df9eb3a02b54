"""Cross-validation folds over all examples of a dataset, addressed like splits.

`fold 0 of 5` is one of five folds, `folds 2,3,4 of 5` are three of them. All splits are merged and
divided as `cxr_tfds.folds` does: stratified by class, without dividing a group.
"""

import functools
import pathlib
import re
from typing import NamedTuple

import numpy as np

from cxr_command import dealing, split_table
from trainer.data import integrity
from trainer.data.dataset import BuiltDataset
from trainer.errors import Damaged, UserError
from trainer.parsing import parsing

_SPLIT = re.compile(r"folds? (\d{1,3}(?:,\d{1,3})*) of (\d{1,3})", re.ASCII)
_FOLD = re.compile(r"(\d{1,3})/(\d{1,3})", re.ASCII)
# One fold is held out, one is for validation, and at least one is for training.
FEWEST, MOST = 3, 999


class Folds(NamedTuple):
    """A selection of a dataset's folds.

    Attributes:
        taken: numbers of the selected folds, from 0.
        number: number of folds the dataset is divided into.
    """

    taken: tuple[int, ...]
    number: int


class FoldSplits(NamedTuple):
    """The splits of one cross-validation run, as split names.

    Attributes:
        train: the folds to train on.
        validation: the fold that selects the epoch, the temperature and the thresholds.
        held_out: the fold used for neither.
    """

    train: str
    validation: str
    held_out: str


def parse(split: str) -> Folds | None:
    """Parses the name of a split; returns None if it does not name folds.

    Raises:
        UserError: the folds do not exist.
    """
    found = _SPLIT.fullmatch(split)
    if not found:
        return None
    folds = Folds(tuple(map(int, found[1].split(","))), int(found[2]))
    if max(folds.taken) >= folds.number:
        raise UserError(
            f"{split!r} names an unknown fold; expected folds from 0 to {folds.number - 1}"
        )
    return folds


def splits_of(fold: str) -> FoldSplits:
    """Returns the splits of a run that holds one fold out.

    Args:
        fold: `K/N`: fold K, from 0, of N.

    Raises:
        UserError: the text has another form, or there are too few folds.
    """
    found = _FOLD.fullmatch(fold)
    held_out, number = (int(found[1]), int(found[2])) if found else (0, 0)
    if number < FEWEST or held_out >= number:
        raise UserError(
            f"--fold={fold}: expected K/N, such as 0/5: fold K, from 0 to N-1, is held out of N "
            f"folds, {FEWEST} to {MOST} (the next is validated on, the others are trained on)"
        )
    validation = (held_out + 1) % number
    others = [str(one) for one in range(number) if one not in (held_out, validation)]
    return FoldSplits(
        train=f"fold{'s' if len(others) > 1 else ''} {','.join(others)} of {number}",
        validation=f"fold {validation} of {number}",
        held_out=f"fold {held_out} of {number}",
    )


def deal(dataset: BuiltDataset, index: np.ndarray, folds: int) -> np.ndarray:
    """Assigns the examples of a dataset to folds.

    Args:
        dataset: a built dataset.
        index: `[examples]`, as of `record_index`: the examples of all splits, without those of
            unknown class.
        folds: number of folds.

    Returns:
        `[examples] int`, the fold of each example.

    Raises:
        UserError: there are fewer groups than folds, or only one fold.
        Damaged: the table of splits differs from what was built.
    """
    labels = tuple(dataset.class_names[label] for label in index["label"])
    try:
        return _deal(labels, _groups(dataset, index), folds)
    except ValueError as error:
        raise UserError(f"{dataset.name}: {error}") from error


# All three splits of a run request the same folds.
@functools.lru_cache(maxsize=1)
def _deal(labels: tuple[str, ...], groups: tuple[str, ...], folds: int) -> np.ndarray:
    fold_of = dealing.deal_folds(dict(enumerate(labels)), dict(enumerate(groups)), folds)
    return np.array([fold_of[row] for row in range(len(labels))])


def _groups(dataset: BuiltDataset, index: np.ndarray) -> tuple[str, ...]:
    """Returns each example's group: by content if the builder wrote a table, else as stored."""
    ids = _texts(index["id"])
    contents = _contents(dataset)
    if contents is None:
        return _texts(index["group"]) if "group" in (index.dtype.names or ()) else ids
    if missing := [one for one in ids if one not in contents]:
        raise _damaged(dataset, f"{split_table.NAME} lacks {missing[0]}")
    return tuple(contents[one] for one in ids)


def _texts(column: np.ndarray) -> tuple[str, ...]:
    return tuple(one.decode(errors="backslashreplace") for one in column)


def _contents(dataset: BuiltDataset) -> dict[str, str] | None:
    """Maps ids to content-based group names; None if the builder wrote no table."""
    folder = pathlib.Path(dataset.files(next(iter(dataset.digests())))[0]).parent
    path = folder / split_table.NAME
    if not path.exists() and path.name not in integrity.read_sums(folder):
        return None
    try:
        integrity.digest_of([str(path)])
        with parsing(path, "build the dataset again"):
            return split_table.contents(split_table.read(folder))
    except Damaged as damage:
        raise _damaged(dataset, str(damage)) from damage


def _damaged(dataset: BuiltDataset, found: str) -> Damaged:
    return Damaged(
        f"the folds of {dataset.name} in {dataset.data_dir} cannot be dealt ({found}): build the "
        "dataset again"
    )
