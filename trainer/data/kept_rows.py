"""Rows of numbers, computed once per example and cached on the local disk.

A folder holds shards, each a NumPy array `[rows, ...]` in the order of the dataset's files,
memory-mapped for random access. `key.json` describes everything the rows depend on, `SHA256SUMS`
holds the shards' digests. An interrupted filling is resumed.
"""

import contextlib
import json
import math
import pathlib
import shutil
from collections.abc import Callable, Iterator

import numpy as np
import tensorflow as tf
from absl import logging

from cxr_command import whole_file
from cxr_command.checksums import SUMS, lines_of, parse, sha256_of
from trainer.data.cache_folder import folder_of, locked, set_aside
from trainer.data.mapped_files import MappedFiles, map_files
from trainer.data.stamps import digests_of
from trainer.errors import UserError
from trainer.parsing import parsing

_KEY, _SHARDS = "key.json", "*.npy"


class KeptRows:
    """One cached row per example of a split."""

    def __init__(
        self, dataset: str, split: str, kind: str, key: dict, *,
        size: int, row: tf.TensorSpec, flag: str,
    ) -> None:  # fmt: skip
        """Determines the folder; creates nothing.

        Args:
            dataset: name of a built dataset.
            split: its split.
            kind: kind of rows, in one word.
            key: everything the rows depend on, as plain values.
            size: number of examples.
            row: shape and dtype of a row.
            flag: the flag that disables the cache, for messages.
        """
        self.split, self.shape, self.dtype = split, tuple(row.shape), row.dtype
        self._kind, self._size, self._flag = kind, size, flag
        self._key = json.dumps(key, indent=2, sort_keys=True) + "\n"
        self.folder = folder_of(dataset, split, kind, self._key)
        self._partial = self.folder.with_name(f"{self.folder.name}.partial")

    @property
    def row_bytes(self) -> int:
        """Size of a row, in bytes."""
        return math.prod(self.shape) * self.dtype.size

    @property
    def bytes_needed(self) -> int:
        """Size of all rows on disk, in bytes."""
        return self._size * self.row_bytes

    @property
    def bytes_missing(self) -> int:
        """Size of the rows that are still to be computed, in bytes."""
        return 0 if self.is_whole() else self.bytes_needed

    def is_whole(self) -> bool:
        """Whether the rows of all examples are cached under the same key."""
        return self._fits(self.folder) and _count(_intact_shards(self.folder)) == self._size

    @contextlib.contextmanager
    def locked(self, while_waiting: Callable[[], None] = lambda: None) -> Iterator[None]:
        """Locks the folder against other processes that need the same rows.

        Args:
            while_waiting: called every second while another process holds the lock.

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
        """Opens the folder for writing; returns the number of rows written by an earlier run.

        Raises:
            UserError: the folder cannot be written to.
        """
        try:
            for folder in (self.folder, self._partial):
                if folder.exists() and not self._fits(folder):
                    set_aside(folder)
            if self.folder.exists():
                if self._partial.exists():
                    set_aside(self._partial)
                logging.warning("%s is damaged: recomputing the missing part", self.folder)
                self.folder.rename(self._partial)
            self._partial.mkdir(exist_ok=True)
            (self._partial / _KEY).write_text(self._key)
            shards = _intact_shards(self._partial)
            paths = _paths_of(self._partial)
            for path in paths[len(shards) :]:
                set_aside(path)
            # An incomplete line would corrupt the next one.
            digests = {path.name: sha256_of(path) for path in paths[: len(shards)]}
            (self._partial / SUMS).write_text(lines_of(digests))
        except OSError as error:
            raise self._not_written(error) from error
        return _count(shards)

    def write(self, first: int, rows: np.ndarray) -> None:
        """Writes a shard.

        Args:
            first: position of its first row.
            rows: `[rows, ...]` of the dtype.

        Raises:
            UserError: the disk is full.
        """
        path = self._partial / f"{first:08d}.npy"
        try:
            with whole_file.writing(path) as partial:
                # Unsigned integers of the same size, as NumPy's file format does not support
                # bfloat16.
                np.save(partial, rows.view(f"u{self.dtype.size}"), allow_pickle=False)
                with (self._partial / SUMS).open("a") as sums:
                    sums.write(lines_of({path.name: sha256_of(partial)}))
        except OSError as error:
            raise self._not_written(error) from error

    def finish(self) -> None:
        """Renames the complete folder to its final name.

        Raises:
            UserError: the folder cannot be written to.
        """
        try:
            self._partial.rename(self.folder)
        except OSError as error:
            raise self._not_written(error) from error

    def drop_if_empty(self) -> None:
        """Removes the folder opened by `begin` if no row was written; rows are kept to resume."""
        if self._partial.exists() and not _paths_of(self._partial):
            shutil.rmtree(self._partial)

    def mapped(self) -> tuple[MappedFiles, np.ndarray]:
        """Maps a complete folder; returns its shards and each row's offset, `[examples] int64`."""
        shards = _intact_shards(self.folder)
        files = map_files([str(path) for path in _paths_of(self.folder)])
        offsets = [
            start + shard.offset + np.arange(len(shard)) * self.row_bytes
            for start, shard in zip(files.starts, shards, strict=True)
        ]
        return files, np.concatenate(offsets)

    def _fits(self, folder: pathlib.Path) -> bool:
        key = folder / _KEY
        with parsing(key, "remove it"):
            return key.exists() and key.read_bytes() == self._key.encode()

    def _not_written(self, error: OSError) -> UserError:
        return UserError(
            f"the {self._kind} of {self.split} could not be written to {self.folder.parent} "
            f"({error.strerror}): make room, set CXR_CACHE_DIR to another disk, or use {self._flag}"
        )


def _paths_of(folder: pathlib.Path) -> list[pathlib.Path]:
    return sorted(path for path in folder.glob(_SHARDS) if path.stem.isdecimal())


def _intact_shards(folder: pathlib.Path) -> list[np.memmap]:
    """Returns a folder's shards, memory-mapped, up to the first missing or damaged one."""
    paths, sums = _paths_of(folder), _read_sums(folder)
    digests = digests_of([str(path) for path in paths])
    shards: list[np.memmap] = []
    for path, digest in zip(paths, digests, strict=True):
        if sums.get(path.name) != digest or int(path.stem) != _count(shards):
            break
        with parsing(path, "remove it"):
            shards.append(np.load(path, mmap_mode="r", allow_pickle=False))
    return shards


def _read_sums(folder: pathlib.Path) -> dict[str, str]:
    """Returns the complete lines of the digests, as a process may be killed while writing one."""
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


def _count(shards: list[np.memmap]) -> int:
    return sum(map(len, shards))
