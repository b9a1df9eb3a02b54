"""A dataset built by `tfds build`: its location, classes and sizes."""

import contextlib
import dataclasses
import math
import os
import re
import traceback
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import tensorflow as tf
import tensorflow_datasets as tfds
from absl import logging

from cxr_command import record_index
from cxr_command.foreign_text import first_line
from cxr_command.source_mix import SourceMix
from trainer.data import integrity
from trainer.errors import Damaged, UserError
from trainer.memory import is_of_memory
from trainer.parsing import unreadable

# The label that TFDS stores for an unknown class.
UNKNOWN = -1


@dataclasses.dataclass(frozen=True)
class BuiltDataset:
    """A dataset on disk.

    Attributes:
        name: TFDS name, `name/config:version`.
        data_dir: the directory given to `tfds build --data_dir`.
        class_names: names of the classes in the order of their labels.
        image_shape: `[height, width, 1]` of its gray uint8 images.
        stores_pixels: whether its records hold raw pixels, which need no decoding.
        builder: the read-only TFDS builder of the files on disk.
        source_mix: the sampling by source that `select` applies to each split; None: all examples.
    """

    name: str
    data_dir: str
    class_names: tuple[str, ...]
    image_shape: tuple[int, int, int]
    stores_pixels: bool
    builder: tfds.core.DatasetBuilder
    source_mix: SourceMix | None = dataclasses.field(default=None, kw_only=True)

    @property
    def sizes(self) -> dict[str, int]:
        """Number of examples of every split, by name."""
        return {name: split.num_examples for name, split in self.builder.info.splits.items()}

    def require_classes(self, class_names: Sequence[str]) -> None:
        """Checks that the dataset has the same classes as a run.

        Raises:
            UserError: the classes or their order differ.
        """
        if list(self.class_names) != list(class_names):
            raise UserError(
                f"{self.name} in {self.data_dir} has the classes {', '.join(self.class_names)}; "
                f"the run was trained on {', '.join(class_names)}: give its --data_dir"
            )

    def require_content(self, run: str, stored: Mapping[str, Any]) -> None:
        """Checks that the dataset has not been rebuilt with other content since a run was trained.

        Args:
            run: the run's name.
            stored: its config.json.

        Raises:
            UserError: its radiographs have changed. For a dataset at another location, chosen by
                the user, a difference is only logged.
        """
        changed = self.changed_splits(stored["dataset"].get("digests", {}))
        if not changed:
            return
        found = (
            f"{self.name} in {self.data_dir} is not what {run} was trained on ({', '.join(changed)}"
            " hold other radiographs): what is tested may have been trained on"
        )
        if os.path.realpath(self.data_dir) == os.path.realpath(stored["config"]["data_dir"]):
            raise UserError(f"{found}. Build it as it was, or name another dataset by --data_dir")
        logging.warning("%s", found)

    def num_examples(self, split: str) -> int:
        """Number of examples in a split.

        Raises:
            UserError: the dataset has no such split, or the split is empty.
        """
        splits = self.builder.info.splits
        if split not in splits:
            raise UserError(
                f"{self.name} has no split {split!r}; it has {', '.join(sorted(splits))}"
            )
        if splits[split].num_examples == 0:
            raise UserError(
                f"split {split!r} of {self.name} in {self.data_dir} is empty: "
                "build the dataset from more images"
            )
        return splits[split].num_examples

    @property
    def file_format(self) -> str:
        """Format of its shards, as of `record_index`."""
        return self.builder.info.file_format.value

    def shard_lengths(self, split: str) -> list[int]:
        """Returns the number of records in each of a split's files."""
        return list(self.builder.info.splits[split].shard_lengths)

    def files(self, split: str) -> list[str]:
        """Returns the paths of a split's verified shards, in order; raises as `index` does."""
        self.index(split)
        return self._paths(split)

    def digest(self, split: str) -> str:
        """Returns a SHA-256 of a split's content; raises as `index` does."""
        return self._verify(split)[0]

    def index(self, split: str) -> np.ndarray:
        """Returns the positions of a split's records, as of `record_index`, after verification.

        Raises:
            Damaged: its files differ from what was built.
            Unreadable: a file could not be read but may be intact.
        """
        return self._verify(split)[1]

    def digests(self) -> dict[str, str]:
        """Returns `digest` of every split that has examples, by name."""
        splits = self.builder.info.splits
        return {name: self.digest(name) for name in sorted(splits) if splits[name].num_examples}

    def changed_splits(self, digests: Mapping[str, str]) -> list[str]:
        """Returns the splits whose content has changed since `digests` was called."""
        now = self.digests()
        return sorted(name for name in digests if now.get(name) != digests[name])

    def _verify(self, split: str) -> tuple[str, np.ndarray]:
        """Verifies a split's files; returns their digest and index."""
        self.num_examples(split)
        paths = self._paths(split)
        beside = record_index.name_of(re.split("[/:]", self.name)[0], split)
        with self._damage_of(split):
            digest = integrity.digest_of(paths)
            index = integrity.index_of(paths, digest, self.file_format, beside)
            self._require_consistent(split, index)
        return digest, index

    def _paths(self, split: str) -> list[str]:
        return [str(path) for path in self.builder.info.splits[split].filepaths]

    def _require_consistent(self, split: str, index: np.ndarray) -> None:
        """Compares the number of records in the shards with the dataset's metadata."""
        expected = self.shard_lengths(split)
        found = np.bincount(index["shard"], minlength=len(expected)).tolist()
        if found != expected:
            raise Damaged(
                f"its files hold {sum(found)} records, its dataset_info.json says {sum(expected)}"
                + (", in different files" if sum(found) == sum(expected) else "")
            )
        lowest, highest = index["label"].min(), index["label"].max()
        if lowest < UNKNOWN or highest >= len(self.class_names):
            raise Damaged(
                f"its labels go from {lowest} to {highest}, expected 0 to "
                f"{len(self.class_names) - 1}, or {UNKNOWN} for an unknown one"
            )
        size, sizes = math.prod(self.image_shape), (index["size"].min(), index["size"].max())
        if self.stores_pixels and sizes != (size, size):
            raise Damaged(f"its images have {' to '.join(map(str, sizes))} pixels, expected {size}")

    @contextlib.contextmanager
    def reading(self, split: str) -> Iterator[None]:
        """Raises `Damaged` when a damaged record of a split is read inside the context."""
        try:
            yield
        except integrity.READING_ERRORS as error:
            if not _is_of_reading(error):
                raise
            with self._damage_of(split):
                raise Damaged(f"a record cannot be read: {first_line(error)}") from error
        except tf.errors.OpError as error:
            if "IteratorGetNext" not in error.message or is_of_memory(error):
                raise
            raise unreadable(f"split {split!r} of {self.name}", first_line(error)) from error

    @contextlib.contextmanager
    def _damage_of(self, split: str) -> Iterator[None]:
        try:
            yield
        except Damaged as damage:
            raise Damaged(
                f"split {split!r} of {self.name} in {self.data_dir} is damaged ({damage}): build "
                "the dataset again"
            ) from damage


def _is_of_reading(error: Exception) -> bool:
    """Whether a TensorFlow error comes from the input pipeline and not from a step."""
    if isinstance(error, UnicodeDecodeError):
        *_, (frame, _) = traceback.walk_tb(error.__traceback__)
        return frame.f_globals["__name__"].startswith("tensorflow")
    is_of_step = isinstance(error, tf.errors.InvalidArgumentError)
    return not is_of_step or "IteratorGetNext" in str(error)
