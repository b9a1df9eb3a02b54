"""Features of a split's images, computed once by a frozen backbone and kept on the local disk.

A folder holds shards, each a NumPy array of records: the example's id and its features, once for
each view of the image (as it is; mirrored). Shards are memory-mapped, so that a batch copies only
the rows and views that it holds, in whatever order, and the system's page cache keeps what the
memory has room for. `key.json` beside them spells out what the features depend on.
"""

import contextlib
import dataclasses
import fcntl
import json
import os
import pathlib
import shutil
import time
from collections.abc import Callable, Iterator
from typing import TextIO

import numpy as np
import tensorflow as tf
from absl import logging

from trainer.data import augment
from trainer.data.cache_folder import folder_of
from trainer.data.dataset import BuiltDataset
from trainer.data.input import Examples
from trainer.errors import UserError

_KEY, _SHARDS = "key.json", "*.npy"


class FeatureCache:
    """The features of one split's images."""

    def __init__(
        self, dataset: BuiltDataset, split: str, key: dict, *, views: int, width: int, dtype: str
    ) -> None:
        """Names its folder; creates nothing.

        Args:
            dataset: a built dataset.
            split: its split.
            key: plain values: all that the features depend on.
            views: of each image: 1, or 2 with the mirrored one.
            width: number of features.
            dtype: of the features.
        """
        self.split, self.views, self.width = split, views, width
        self._size, self._dtype = dataset.num_examples(split), tf.as_dtype(dtype)
        self._key = json.dumps(key, indent=2, sort_keys=True) + "\n"
        self.folder = folder_of(dataset, split, "features", self._key)
        self._partial = self.folder.with_name(f"{self.folder.name}.partial")

    @property
    def bytes_needed(self) -> int:
        """The size of all features on disk."""
        return self._size * self.views * self.width * self._dtype.size

    @property
    def bytes_missing(self) -> int:
        """The size of the features that are still to be computed."""
        return 0 if self.is_whole() else self.bytes_needed

    def is_whole(self) -> bool:
        """Whether the features of all examples are there, and of the right backbone."""
        return self._fits(self.folder) and _count(_open_shards(self.folder)) == self._size

    @contextlib.contextmanager
    def locked(self, while_waiting: Callable[[], None]) -> Iterator[None]:
        """While open, no other process that needs the same features computes them.

        Args:
            while_waiting: called every second while another one does.

        Raises:
            UserError: the folder cannot be written to.
        """
        try:
            self.folder.parent.mkdir(parents=True, exist_ok=True)
            lock = self.folder.with_name(f"{self.folder.name}.lock").open("w")
        except OSError as error:
            raise self._not_written(error) from error
        with lock:
            while not _is_mine(lock):
                logging.log_every_n_seconds(
                    logging.INFO, "features of %s: another process computes them", 30, self.split
                )
                while_waiting()
                time.sleep(1)
            yield

    def begin(self) -> int:
        """Opens the folder for writing; returns how many examples an earlier run has written.

        Raises:
            UserError: it cannot be written to.
        """
        try:
            for folder in (self.folder, self._partial):
                if folder.exists() and not self._fits(folder):
                    logging.warning("%s holds other features: computing them anew", folder)
                    shutil.rmtree(folder)
            if self.folder.exists():
                logging.warning("%s is damaged: computing what is missing", self.folder)
                self.folder.rename(self._partial)
            self._partial.mkdir(exist_ok=True)
            (self._partial / _KEY).write_text(self._key)
            shards = _open_shards(self._partial)
            for path in sorted(self._partial.glob(_SHARDS))[len(shards) :]:
                path.unlink()
        except OSError as error:
            raise self._not_written(error) from error
        return _count(shards)

    def write(self, first: int, ids: np.ndarray, features: np.ndarray) -> None:
        """Writes a shard.

        Args:
            first: position of its first example in the order of the files.
            ids: `[rows] bytes`.
            features: `[rows, views, width]` of the dtype.

        Raises:
            UserError: the disk is full.
        """
        ids = np.array(ids, np.bytes_)
        records = np.empty(
            len(ids),
            np.dtype([("features", self._bits, features.shape[1:]), ("id", ids.dtype)], align=True),
        )
        records["id"], records["features"] = ids, features.view(self._bits)
        path = self._partial / f"{first:08d}.npy"
        beside = path.with_suffix(".partial")
        try:
            with beside.open("wb") as file:
                np.save(file, records, allow_pickle=False)
            os.replace(beside, path)
        except OSError as error:
            beside.unlink(missing_ok=True)
            raise self._not_written(error) from error

    def finish(self) -> None:
        """Gives the folder its name, now that all is written."""
        try:
            self._partial.rename(self.folder)
        except OSError as error:
            raise self._not_written(error) from error

    def examples(self, images: Examples) -> Examples:
        """The examples with features in the place of images, in the same order.

        Args:
            images: the split's examples.

        Returns:
            Examples whose batches hold, as `image`, features `[batch, width]` of the view that
            the draws choose; of the image as it is where there are no draws.
        """
        shards = _open_shards(self.folder)
        # Examples without an id of their own are named by their content: copies have one name.
        ids, rows = np.unique(np.concatenate([s["id"] for s in shards]), return_index=True)
        starts = np.cumsum([0] + [len(shard) for shard in shards])
        row_of = tf.lookup.StaticHashTable(
            tf.lookup.KeyValueTensorInitializer(ids, rows), default_value=-1
        )

        def read(rows: np.ndarray, views: np.ndarray) -> np.ndarray:
            batch = np.empty((len(rows), self.width), self._bits)
            numbers = np.searchsorted(starts, rows, side="right") - 1
            for index, (number, row, view) in enumerate(zip(numbers, rows, views, strict=True)):
                batch[index] = shards[number]["features"][row - starts[number], view]
            return batch

        def load(tokens: tf.Tensor) -> dict:
            batch = images.load(tokens)
            # The pixels are not asked for, so they are never read.
            return {
                "id": batch["id"], "label": batch["label"], "row": row_of.lookup(batch["id"]),
            }  # fmt: skip

        def finish(batch: dict) -> dict:
            rows = batch.pop("row")
            views = tf.zeros_like(rows)
            if self.views == 2 and "draws" in batch:
                views = tf.cast(augment.is_flipped(batch["draws"][:, 0]), tf.int64)
            bits = tf.numpy_function(read, [rows, views], self._bits, stateful=False)
            bits = tf.ensure_shape(bits, [*rows.shape, self.width])
            return batch | {"image": tf.bitcast(bits, self._dtype)}

        return dataclasses.replace(images, load=load, finish=finish)

    @property
    def _bits(self) -> np.dtype:
        """Unsigned integers of the features' size: NumPy's files know no bfloat16."""
        return np.dtype(f"u{self._dtype.size}")

    def _fits(self, folder: pathlib.Path) -> bool:
        key = folder / _KEY
        return key.exists() and key.read_text() == self._key

    def _not_written(self, error: OSError) -> UserError:
        return UserError(
            f"the features of {self.split} could not be written to {self.folder.parent} "
            f"({error.strerror}): make room, set CXR_CACHE_DIR to another disk, or use "
            "--feature_cache=off"
        )


def _open_shards(folder: pathlib.Path) -> list[np.ndarray]:
    """A folder's shards, memory-mapped, up to the first one that is missing or damaged."""
    shards = []
    for path in sorted(folder.glob(_SHARDS)):
        try:
            shard = np.load(path, mmap_mode="r", allow_pickle=False)
        except (ValueError, OSError, EOFError):
            break
        if int(path.stem) != _count(shards):
            break
        shards.append(shard)
    return shards


def _count(shards: list[np.ndarray]) -> int:
    return sum(map(len, shards))


def _is_mine(lock: TextIO) -> bool:
    """Takes a lock, which the system gives back when this process ends, if nobody has it."""
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True
