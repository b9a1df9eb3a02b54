"""Checks whether evaluated radiographs, or copies of them, were used to train the model."""

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any

import faiss
import numpy as np
from absl import logging

from cxr_command.radiograph.fingerprints import THRESHOLD, fingerprint
from trainer.data.dataset import BuiltDataset
from trainer.data.examples import Examples
from trainer.data.opening import open_dataset
from trainer.data.records import read_batches
from trainer.data.selection import is_split, select
from trainer.data.source_mix import mix_of
from trainer.errors import UserError
from trainer.progress_line import ProgressLine

_SHOWN = 3


def what_was_seen(
    examples: Examples,
    contents: Mapping[str, dict[str, Any]],
    splits: Sequence[str],
    data_dir: str | None,
) -> list[str]:
    """Searches the runs' training datasets for the user's own radiographs.

    Args:
        examples: the radiographs.
        contents: content of config.json by run name.
        splits: the splits they were trained and validated on, as for `select`.
        data_dir: directory of the datasets; None: those recorded by the runs.

    Returns:
        A sentence for each split with matches and for each dataset that cannot be read.
    """
    sentences = []
    configs = [run["config"] for run in contents.values()]
    places = {(run["dataset"], run["data_dir"], mix_of(run)) for run in configs}
    for name, place, mix in sorted(places, key=str):
        try:
            opened = open_dataset(name, data_dir or place)
            dataset = dataclasses.replace(opened, source_mix=mix)
            for split in (one for one in splits if is_split(dataset, one)):
                if found := find_seen(examples.images, dataset, split):
                    sentences.append(_told(found, examples.ids, split, dataset.name))
        except UserError as error:
            sentences.append(f"Not checked whether {name} contains these radiographs: {error}.")
    return sentences


def find_seen(images: np.ndarray, dataset: BuiltDataset, split: str) -> list[tuple[int, str]]:
    """Finds the images that look the same as a radiograph of a dataset's split.

    Uses the fingerprints of the dataset's builder, which match identical, rescaled, recompressed
    and brightened images, computed on the network's input pixels.

    Args:
        images: `[examples, height, width, 1] uint8`.
        dataset: the dataset that a run was trained on.
        split: its split, or a part of one.

    Returns:
        The index of each match among the images, and the id of the nearest radiograph in the split.
    """
    logging.info("looking for the radiographs among those of %s, split %s", dataset.name, split)
    records = select(dataset, split)
    known, progress = [], ProgressLine("comparing radiographs", len(records), 1)
    with dataset.reading(split):
        for batch in read_batches(dataset, records, ["image"]):
            known.append(_fingerprints(batch["image"]))
            progress.show(sum(map(len, known)))
    progress.clear()
    index = faiss.IndexBinaryFlat(8 * known[0].shape[1])
    index.add(np.concatenate(known))
    bits, nearest = index.search(_fingerprints(images), 1)
    ids = records.index["id"]
    return [
        (int(row), ids[nearest[row, 0]].decode()) for row in np.flatnonzero(bits[:, 0] <= THRESHOLD)
    ]


def _told(found: list[tuple[int, str]], ids: np.ndarray, split: str, dataset: str) -> str:
    shown = ", ".join(f"{ids[row]} is {seen}" for row, seen in found[:_SHOWN])
    more = ", ..." if len(found) > _SHOWN else ""
    return (
        f"{len(found):,} of {len(ids):,} radiographs match one in split {split} of {dataset}, "
        "which the models were trained or validated on: the numbers are too optimistic for them "
        f"({shown}{more})."
    )


def _fingerprints(images: np.ndarray) -> np.ndarray:
    """Computes fingerprints, `[examples, 128] uint8`."""
    return np.array([np.frombuffer(fingerprint(one[..., 0]), np.uint8) for one in images])
