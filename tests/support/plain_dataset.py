"""A dataset of small gray images in several files, without a builder."""

import dataclasses
import pathlib

import numpy as np
import tensorflow as tf

from benchmarks.raw_record import raw_record
from trainer.data.dataset import BuiltDataset

SIZE, SHARDS = 32, 3
COUNTS = {"train": 43, "validation": 21}


@dataclasses.dataclass(frozen=True)
class PlainDataset(BuiltDataset):
    """Reads splits from the files written by `write`."""

    paths: dict

    @property
    def file_format(self):
        return "tfrecord"

    def num_examples(self, split):
        return COUNTS[split]

    def _paths(self, split):
        return self.paths[split]

    def shard_lengths(self, split):
        return [len(rows) for rows in np.array_split(np.arange(COUNTS[split]), SHARDS)]


def name_of(split: str, row: int) -> str:
    return f"{split}-{row}"


def write(folder: pathlib.Path, seed: int = 0, name=name_of) -> PlainDataset:
    """Writes images whose class is encoded in the brightness of their left third."""
    rng = np.random.default_rng(seed)
    paths = {}
    for split, count in COUNTS.items():
        labels = rng.integers(0, 4, count)
        images = rng.integers(0, 100, (count, SIZE, SIZE, 1))
        images[:, :, : SIZE // 3] += 50 * labels[:, None, None, None]
        paths[split] = []
        for shard, rows in enumerate(np.array_split(np.arange(count), SHARDS)):
            paths[split].append(str(folder / f"{split}-{shard}"))
            with tf.io.TFRecordWriter(paths[split][-1]) as writer:
                for row in rows:
                    pixels = images[row].astype(np.uint8).tobytes()
                    writer.write(raw_record(pixels, int(labels[row]), name(split, row).encode()))
    return PlainDataset(
        "small:1.0.0", str(folder), tuple("abcd"), (SIZE, SIZE, 1), True, None, paths
    )
