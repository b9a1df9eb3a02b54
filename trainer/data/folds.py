"""Cross-validation folds over all examples of a dataset, named like a split.

`fold 0 of 5` is one of five folds, `folds 2,3,4 of 5` are three of them. All splits are joined and
dealt as `cxr_tfds.folds` deals them: every class in the same proportions, no group torn apart.
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
# One is held out, one is validated on, and one at least is trained on.
FEWEST, MOST = 3, 999


class Folds(NamedTuple):
    """Some folds of a dataset.

    Attributes:
        taken: their numbers, from 0.
        number: how many folds the dataset is dealt into.
    """

    taken: tuple[int, ...]
    number: int


class FoldSplits(NamedTuple):
    """What a run of cross-validation does with the folds, each as a split's name.

    Attributes:
        train: the folds to train on.
        validation: the fold that chooses the epoch, and temperature and thresholds.
        held_out: the fold that neither has seen.
    """

    train: str
    validation: str
    held_out: str


def parse(split: str) -> Folds | None:
    """Reads the name of a split; None if it names no folds.

    Raises:
        UserError: there are no such folds.
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
    """The splits of a run that holds one fold out.

    Args:
        fold: `K/N`: fold K, from 0, of N.

    Raises:
        UserError: it is something else, or too few folds.
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
    """Deals the examples of a dataset into folds.

    Args:
        dataset: a built dataset.
        index: `[examples]`, as of `record_index`: all of its splits, none of unknown class.
        folds: how many.

    Returns:
        `[examples] int`, the fold of each.

    Raises:
        UserError: there are fewer groups than folds, or one fold.
        Damaged: the table of splits is not what was built.
    """
    labels = tuple(dataset.class_names[label] for label in index["label"])
    try:
        return _deal(labels, _groups(dataset, index), folds)
    except ValueError as error:
        raise UserError(f"{dataset.name}: {error}") from error


# Each of a run's three splits asks for the same folds.
@functools.lru_cache(maxsize=1)
def _deal(labels: tuple[str, ...], groups: tuple[str, ...], folds: int) -> np.ndarray:
    fold_of = dealing.deal_folds(dict(enumerate(labels)), dict(enumerate(groups)), folds)
    return np.array([fold_of[row] for row in range(len(labels))])


def _groups(dataset: BuiltDataset, index: np.ndarray) -> tuple[str, ...]:
    """The group of each example: by content where the builder wrote a table, else as stored."""
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
    """What each group is called by its content, of each id; None where no table was built."""
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
