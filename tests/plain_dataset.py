"""A dataset of small gray images in several files, without a builder."""

import dataclasses
import pathlib

import numpy as np
import tensorflow as tf

from trainer.data.dataset import BuiltDataset
from trainer.data.records import raw_record

SIZE = 32
COUNTS = {"train": 43, "validation": 21}


@dataclasses.dataclass(frozen=True)
class PlainDataset(BuiltDataset):
    """Reads splits from the files that `write` wrote."""

    paths: dict

    def num_examples(self, split):
        return COUNTS[split]

    def files(self, split):
        return self.paths[split]


def write(folder: pathlib.Path) -> PlainDataset:
    """Writes images whose class shows in how bright their left third is."""
    rng = np.random.default_rng(0)
    paths = {}
    for split, count in COUNTS.items():
        labels = rng.integers(0, 4, count)
        images = rng.integers(0, 100, (count, SIZE, SIZE, 1))
        images[:, :, : SIZE // 3] += 50 * labels[:, None, None, None]
        paths[split] = []
        for shard, rows in enumerate(np.array_split(np.arange(count), 3)):
            paths[split].append(str(folder / f"{split}-{shard}"))
            with tf.io.TFRecordWriter(paths[split][-1]) as writer:
                for row in rows:
                    pixels = images[row].astype(np.uint8).tobytes()
                    writer.write(raw_record(pixels, int(labels[row]), f"{split}-{row}".encode()))
    return PlainDataset(
        "small:1.0.0", str(folder), tuple("abcd"), (SIZE, SIZE, 1), True, None, paths
    )
