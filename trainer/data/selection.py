"""The records selected by a split in TFDS notation: `train`, `train[:80%]`, `train+validation`.

`fold 0 of 5` and `folds 2,3,4 of 5` are folds of all splits together, as of `folds`.

A group (the radiographs of one patient, or the copies of one image) is never divided: slices are
computed as if each group's records were contiguous, ordered by their first records, and a group
belongs to the slice in which it begins. Adjacent slices therefore have no group in common.
"""

import hashlib
import re

import numpy as np
import tensorflow_datasets as tfds
from absl import logging

from trainer.data.dataset import UNKNOWN, BuiltDataset
from trainer.data.folds import deal, parse
from trainer.data.records import Records
from trainer.data.source_mix import drawn
from trainer.errors import UserError

_SPLIT = re.compile(r"[^+\[\]]+")


def select(dataset: BuiltDataset, spec: str) -> Records:
    """Selects the records of a split or of parts of splits, without those of unknown class.

    If the dataset has a source mix, only the records sampled by it are selected.

    Args:
        dataset: a built dataset.
        spec: a split, parts of splits in TFDS notation, or folds.

    Returns:
        The records, in file order.

    Raises:
        UserError: the split does not exist or is empty.
        Damaged: its files differ from what was built.
    """
    parts, paths, digests = [], [], []
    for split, first, end in _parts(dataset, spec):
        index = dataset.index(split)
        rows = _rows_between(index, first, end)
        part = index if rows.all() else index[rows]
        if paths:
            part = part.copy()
            part["shard"] += len(paths)
        parts.append(part)
        paths += dataset.files(split)
        digests.append(dataset.digest(split))
    index = parts[0] if len(parts) == 1 else np.concatenate(parts)
    index = _of_known_class(dataset, spec, index)
    if folds := parse(spec):
        fold_of = deal(dataset, index, folds.number)
        digests.append(hashlib.sha256(fold_of.tobytes()).hexdigest())
        index = index[np.isin(fold_of, folds.taken)]
    if not len(index):
        raise UserError(f"{spec!r} of {dataset.name} in {dataset.data_dir} holds no example")
    content = repr((spec, digests))
    digest = hashlib.sha256(content.encode()).hexdigest()
    return drawn(dataset, spec, Records(tuple(paths), index, dataset.file_format, digest))


def _of_known_class(dataset: BuiltDataset, spec: str, index: np.ndarray) -> np.ndarray:
    known = index["label"] != UNKNOWN
    if known.all():
        return index
    logging.warning(
        "%s of %s: %d examples of unknown class (label %d) are excluded, %d remain",
        spec, dataset.name, (~known).sum(), UNKNOWN, known.sum(),
    )  # fmt: skip
    return index[known]


def is_split(dataset: BuiltDataset, spec: str) -> bool:
    """Whether the dataset has the split, with examples, the splits of a slice, or the folds."""
    try:
        return bool(_parts(dataset, spec))
    except UserError:
        return False


def require_apart(dataset: BuiltDataset, train: str, validation: str) -> None:
    """Checks that the training and validation examples are disjoint.

    Raises:
        UserError: they overlap; the message states the number.
    """
    if shared := select(dataset, train).shares_with(select(dataset, validation)):
        raise UserError(
            f"--train_split={train} and --validation_split={validation} have {shared} examples in "
            "common: choose slices that do not overlap"
        )


def _parts(dataset: BuiltDataset, spec: str) -> list[tuple[str, int, int]]:
    """Returns splits with their first and end record; for folds, all splits."""
    if parse(spec):
        return [(split, 0, dataset.num_examples(split)) for split in dataset.digests()]
    if _SPLIT.fullmatch(spec):
        return [(spec, 0, dataset.num_examples(spec))]
    try:
        instruction = tfds.core.ReadInstruction.from_spec(spec)
        found = instruction.to_absolute(dataset.builder.info.splits)
    except (AssertionError, KeyError, ValueError) as error:
        raise UserError(
            f"{spec!r} is not a split of {dataset.name}, which has "
            f"{', '.join(sorted(dataset.builder.info.splits))}; expected one of them or a slice "
            "such as 'train[:80%]' or 'train[80%:]', or 'fold 0 of 5'"
        ) from error
    sizes = {part.splitname: dataset.num_examples(part.splitname) for part in found}
    return [
        (
            part.splitname,
            part.from_ or 0,
            sizes[part.splitname] if part.to is None else part.to,
        )
        for part in found
    ]


def _rows_between(index: np.ndarray, first: int, end: int) -> np.ndarray:
    """Returns which records belong to a slice, `[records] bool`."""
    places = np.arange(len(index))
    if (first, end) != (0, len(index)) and "group" in (index.dtype.names or ()):
        _, firsts, groups, counts = np.unique(
            index["group"], return_index=True, return_inverse=True, return_counts=True
        )
        order = np.argsort(firsts)
        # Start of each group if the groups were stored contiguously.
        begins = np.empty_like(firsts)
        begins[order] = np.cumsum(counts[order]) - counts[order]
        places = begins[groups]
    return (first <= places) & (places < end)
