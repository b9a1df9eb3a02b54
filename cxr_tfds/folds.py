r"""Assigns the radiographs of a built dataset to folds for cross-validation.

Usage:

    python -m cxr_tfds.folds --data_dir=DATA --folds=5 --output=folds.csv [--config=full|224x224] \
        [--dataset=own_radiographs]

The folds are stratified by class, and a group of duplicates is never divided. They cover all three
splits; to hold out the test split, use `--splits=train,validation`. To use fold 0 of five for
validation and the other four for training:

    rows = split_table.read(dataset_flags.find_folder(DATA, "224x224"))
    fold_of = folds.assign(rows, 5)
    held_out = tf.constant([i for i, fold in fold_of.items() if fold == 0])
    everything = tfds.load("covid19_radiography/224x224", data_dir=DATA, split="all")
    validation = everything.filter(lambda example: tf.reduce_any(example["id"] == held_out))
    train = everything.filter(lambda example: tf.reduce_all(example["id"] != held_out))
"""

import os
import pathlib
from collections import Counter
from collections.abc import Sequence

from absl import flags

from cxr_command import csv_file, dealing, split_table, whole_file
from cxr_command.runner import Command
from cxr_tfds import dataset_flags


def assign(rows: Sequence[split_table.Row], folds: int) -> dict[str, int]:
    """Assigns radiographs to folds, stratified by class, without dividing a group.

    Args:
      rows: The table of splits, or a part of it.
      folds: The number of folds, at least 2.

    Returns:
      The fold of each id, from 0. It only depends on the files' hashes and labels.

    Raises:
      ValueError: There are fewer than two folds, or more than there are groups.
    """
    labels = {row.id: row.label for row in rows}
    return dealing.deal_folds(labels, split_table.contents(rows), folds)


def _write(path: pathlib.Path, rows: Sequence[split_table.Row], fold_of: dict[str, int]) -> None:
    table = [[row.id, row.label, row.group, fold_of[row.id]] for row in rows]
    content = csv_file.encode([["id", "label", "group", "fold"], *table])
    if path.exists() and not path.is_file():
        path.write_bytes(content)  # A device or a pipe, such as /dev/stdout.
        return
    place = pathlib.Path(os.path.realpath(path))  # Keep a link, and write its target.
    with whole_file.writing(place, shared=True) as partial:
        partial.write_bytes(content)


def _define_flags() -> None:
    dataset_flags.define()
    flags.DEFINE_integer("folds", 5, "How many folds.")
    flags.DEFINE_list("splits", ["train", "validation", "test"], "Splits to divide into folds.")
    flags.DEFINE_string("output", None, "CSV file to write.", required=True)


def _main() -> None:
    options = flags.FLAGS
    rows = split_table.read(dataset_flags.find())
    if unknown := set(options.splits) - {row.split for row in rows}:
        raise ValueError(f"There is no split {', '.join(sorted(unknown))} in the dataset.")
    rows = [row for row in rows if row.split in options.splits]
    fold_of = assign(rows, options.folds)
    try:
        _write(pathlib.Path(options.output), rows, fold_of)
    except OSError as error:
        raise OSError(
            f"cannot write to {options.output} ({error.strerror}): choose another --output."
        ) from error
    counts = Counter((row.label, fold_of[row.id]) for row in rows)
    for label in sorted({row.label for row in rows}):
        print(f"{label:16}", *(f"{counts[label, fold]:6,}" for fold in range(options.folds)))
    print(f"Wrote {len(rows):,} radiographs in {options.folds} folds to {options.output}")


if __name__ == "__main__":
    Command(_main, _define_flags).run()
