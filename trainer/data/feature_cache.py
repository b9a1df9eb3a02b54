"""Features of a split's images, computed once by a frozen backbone and kept on the local disk.

A folder holds shards, each a NumPy array `[rows, views, width]` of features in the order of the
dataset's files, once for each view of the image (as it is; mirrored). Shards are memory-mapped, so
that a batch copies only the rows and views that it holds, in whatever order, and the system's page
cache keeps what the memory has room for. `key.json` beside them spells out what the features depend
on, `SHA256SUMS` holds the shards' digests.
"""

import contextlib
import dataclasses
import json
import os
import pathlib
from collections.abc import Callable, Iterator

import numpy as np
import tensorflow as tf
from absl import logging

from cxr_command.checksums import SUMS, lines_of, parse, sha256_of
from trainer.data import augment
from trainer.data.cache_folder import folder_of, locked, set_aside
from trainer.data.dataset import BuiltDataset
from trainer.data.input import ExampleStream, Tokens
from trainer.data.stamps import digests_of
from trainer.errors import UserError
from trainer.parsing import parsing

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
        self.folder = folder_of(dataset.name, split, "features", self._key)
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
        return self._fits(self.folder) and _count(_intact_shards(self.folder)) == self._size

    @contextlib.contextmanager
    def locked(self, while_waiting: Callable[[], None]) -> Iterator[None]:
        """While open, no other process that needs the same features computes them.

        Args:
            while_waiting: called every second while another one does.

        Raises:
            UserError: the folder cannot be written to.
        """
        with contextlib.ExitStack() as stack:
            try:
                stack.enter_context(locked(self.folder, while_waiting))
            except OSError as error:
                raise self._not_written(error) from error
            yield

    def begin(self) -> int:
        """Opens the folder for writing; returns how many examples an earlier run has written.

        Raises:
            UserError: it cannot be written to.
        """
        try:
            for folder in (self.folder, self._partial):
                if folder.exists() and not self._fits(folder):
                    set_aside(folder)
            if self.folder.exists():
                if self._partial.exists():
                    set_aside(self._partial)
                logging.warning("%s is damaged: computing what is missing", self.folder)
                self.folder.rename(self._partial)
            self._partial.mkdir(exist_ok=True)
            (self._partial / _KEY).write_text(self._key)
            shards = _intact_shards(self._partial)
            paths = _paths_of(self._partial)
            for path in paths[len(shards) :]:
                set_aside(path)
            # A line that was not written whole would spoil the one behind it.
            digests = {path.name: sha256_of(path) for path in paths[: len(shards)]}
            (self._partial / SUMS).write_text(lines_of(digests))
        except OSError as error:
            raise self._not_written(error) from error
        return _count(shards)

    def write(self, first: int, features: np.ndarray) -> None:
        """Writes a shard.

        Args:
            first: position of its first example in the order of the files.
            features: `[rows, views, width]` of the dtype.

        Raises:
            UserError: the disk is full.
        """
        path = self._partial / f"{first:08d}.npy"
        beside = path.with_suffix(".partial")
        try:
            with beside.open("wb") as file:
                np.save(file, features.view(self._bits), allow_pickle=False)
            with (self._partial / SUMS).open("a") as sums:
                sums.write(lines_of({path.name: sha256_of(beside)}))
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

    def examples(self, images: ExampleStream) -> ExampleStream:
        """The examples with features in the place of images, in the same order.

        Args:
            images: the split's examples.

        Returns:
            A stream whose batches hold, as `features`, features `[batch, width]` of the view that
            the draws choose; of the image as it is where there are no draws.
        """
        shards = _intact_shards(self.folder)
        starts = np.cumsum([0] + [len(shard) for shard in shards])

        def read(rows: np.ndarray, views: np.ndarray) -> np.ndarray:
            batch = np.empty((len(rows), self.width), self._bits)
            numbers = np.searchsorted(starts, rows, side="right") - 1
            for index, (number, row, view) in enumerate(zip(numbers, rows, views, strict=True)):
                batch[index] = shards[number][row - starts[number], view]
            return batch

        def load(tokens: Tokens) -> dict:
            batch = images.load(tokens)
            # The pixels are not asked for, so they are never read.
            return {name: batch[name] for name in ("id", "label", "position")}

        def finish(batch: dict) -> dict:
            rows = batch.pop("position")
            views = tf.zeros_like(rows)
            if self.views == 2 and "draws" in batch:
                views = tf.cast(augment.is_flipped(batch["draws"]), tf.int64)
            bits = tf.numpy_function(read, [rows, views], self._bits, stateful=False)
            bits = tf.ensure_shape(bits, [*rows.shape, self.width])
            return batch | {"features": tf.bitcast(bits, self._dtype)}

        return dataclasses.replace(images, load=load, finish=finish)

    @property
    def _bits(self) -> np.dtype:
        """Unsigned integers of the features' size: NumPy's files know no bfloat16."""
        return np.dtype(f"u{self._dtype.size}")

    def _fits(self, folder: pathlib.Path) -> bool:
        key = folder / _KEY
        with parsing(key, "remove it"):
            return key.exists() and key.read_bytes() == self._key.encode()

    def _not_written(self, error: OSError) -> UserError:
        return UserError(
            f"the features of {self.split} could not be written to {self.folder.parent} "
            f"({error.strerror}): make room, set CXR_CACHE_DIR to another disk, or use "
            "--feature_cache=off"
        )


def _paths_of(folder: pathlib.Path) -> list[pathlib.Path]:
    return sorted(path for path in folder.glob(_SHARDS) if path.stem.isdecimal())


def _intact_shards(folder: pathlib.Path) -> list[np.ndarray]:
    """A folder's shards, memory-mapped, up to the first one that is missing or damaged."""
    paths, sums = _paths_of(folder), _read_sums(folder)
    digests = digests_of([str(path) for path in paths])
    shards: list[np.ndarray] = []
    for path, digest in zip(paths, digests, strict=True):
        if sums.get(path.name) != digest or int(path.stem) != _count(shards):
            break
        with parsing(path, "remove it"):
            shards.append(np.load(path, mmap_mode="r", allow_pickle=False))
    return shards


def _read_sums(folder: pathlib.Path) -> dict[str, str]:
    """The digests as far as they are whole: a process may have been killed while it wrote one."""
    path = folder / SUMS
    if not path.exists():
        return {}
    with parsing(path, "remove it"):
        lines = path.read_text(errors="replace").splitlines()
    sums = {}
    for line in lines:
        with contextlib.suppress(ValueError):
            sums |= parse([line])
    return sums


def _count(shards: list[np.ndarray]) -> int:
    return sum(map(len, shards))
