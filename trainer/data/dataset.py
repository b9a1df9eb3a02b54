"""A dataset that `tfds build` made: where it lies, its classes, its sizes."""

import contextlib
import dataclasses
import math
import os
import pathlib
import re
import traceback
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import tensorflow as tf
import tensorflow_datasets as tfds
from absl import logging

from cxr_command import record_index
from cxr_command.checksums import SUMS, sha256_of
from cxr_command.foreign_text import first_line
from trainer.data import integrity
from trainer.errors import Damaged, UserError
from trainer.memory import is_of_memory
from trainer.parsing import unreadable

# What images that are stored encoded are resized to: the size that the networks were made for.
_NETWORK_SHAPE = (224, 224, 1)
# The label that TFDS stores where there is none.
UNKNOWN = -1
# The datasets that this project builds, and what its builder is given.
_BUILDERS = {"covid19_radiography": "KAGGLE_FOLDER", "own_radiographs": "FOLDER"}


@dataclasses.dataclass(frozen=True)
class BuiltDataset:
    """A dataset on disk.

    Attributes:
        name: TFDS name, `name/config:version`.
        data_dir: the directory given to `tfds build --data_dir`.
        class_names: names of the classes in the order of their labels.
        image_shape: `[height, width, 1]` of the gray uint8 images that it gives.
        stores_pixels: whether its records hold the bytes of such images, and need no decoding.
        builder: the read-only TFDS builder of the files on disk.
    """

    name: str
    data_dir: str
    class_names: tuple[str, ...]
    image_shape: tuple[int, int, int]
    stores_pixels: bool
    builder: tfds.core.DatasetBuilder

    def require_classes(self, class_names: Sequence[str]) -> None:
        """Checks that the dataset has a run's classes.

        Raises:
            UserError: it has others, or in another order.
        """
        if list(self.class_names) != list(class_names):
            raise UserError(
                f"{self.name} in {self.data_dir} has the classes {', '.join(self.class_names)}; "
                f"the run was trained on {', '.join(class_names)}: give its --data_dir"
            )

    def require_content(self, run: str, stored: Mapping[str, Any]) -> None:
        """Checks that nobody has built the dataset anew since a run was trained on it.

        Args:
            run: the run's name.
            stored: its config.json.

        Raises:
            UserError: it holds other radiographs now. Of a dataset elsewhere, which the user has
                named, that is only logged.
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
        """Of its shards, as of `record_index`."""
        return self.builder.info.file_format.value

    def shard_lengths(self, split: str) -> list[int]:
        """Number of records of each of a split's files."""
        return list(self.builder.info.splits[split].shard_lengths)

    def files(self, split: str) -> list[str]:
        """Paths of a split's shards, in order, verified; raises as `index` does."""
        self.index(split)
        return self._paths(split)

    def digest(self, split: str) -> str:
        """A SHA-256 that stands for what a split holds; raises as `index` does."""
        return self._verify(split)[0]

    def index(self, split: str) -> np.ndarray:
        """Where a split's records lie, as of `record_index`, verified.

        Raises:
            Damaged: its files are not what was built.
            Unreadable: one could not be read, and may be whole.
        """
        return self._verify(split)[1]

    def digests(self) -> dict[str, str]:
        """`digest` of every split that has examples, by its name."""
        splits = self.builder.info.splits
        return {name: self.digest(name) for name in sorted(splits) if splits[name].num_examples}

    def changed_splits(self, digests: Mapping[str, str]) -> list[str]:
        """The splits that held something else when `digests` gave this."""
        now = self.digests()
        return sorted(name for name in digests if now.get(name) != digests[name])

    def _verify(self, split: str) -> tuple[str, np.ndarray]:
        """Digest and index of a split whose files are what was built."""
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
        """Compares what the shards hold with what the dataset says."""
        expected = self.shard_lengths(split)
        found = np.bincount(index["shard"], minlength=len(expected)).tolist()
        if found != expected:
            raise Damaged(
                f"its files hold {sum(found)} records, its dataset_info.json says {sum(expected)}"
                + (", in other files" if sum(found) == sum(expected) else "")
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
        """While open, reading a damaged record of a split raises `Damaged`."""
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
    """Whether an error of TensorFlow comes from the input, and not from a step."""
    if isinstance(error, UnicodeDecodeError):
        *_, (frame, _) = traceback.walk_tb(error.__traceback__)
        return frame.f_globals["__name__"].startswith("tensorflow")
    is_of_step = isinstance(error, tf.errors.InvalidArgumentError)
    return not is_of_step or "IteratorGetNext" in str(error)


def default_data_dir() -> str:
    """Where `tfds build` puts datasets by default: TFDS_DATA_DIR, else ~/tensorflow_datasets."""
    return str(pathlib.Path(tfds.core.constants.DATA_DIR).expanduser())


def open_dataset(name: str, data_dir: str) -> BuiltDataset:
    """Opens a dataset that `tfds build` has made.

    Args:
        name: TFDS name, `name[/config][:version]`.
        data_dir: the directory given to `tfds build --data_dir`.

    Returns:
        The dataset, with its full name including the version.

    Raises:
        UserError: there is no such directory, no such dataset in it, or it is none of labelled
            uint8 images.
    """
    if not os.path.isdir(data_dir):
        raise UserError(
            f"the data directory {data_dir} does not exist; give --data_dir=DIR, "
            f"the directory of a built dataset, or build one with: {_how_to_build(name, data_dir)}"
        )
    try:
        builder = tfds.builder(name, data_dir=data_dir)
    except MemoryError:
        raise
    except PermissionError as error:
        raise unreadable(f"{name} in {data_dir}", first_line(error)) from error
    except Exception as error:  # Whatever the parsers of names, versions and files raise.
        raise UserError(_why_not_opened(name, data_dir)) from error
    if not pathlib.Path(builder.data_dir, "dataset_info.json").exists():
        raise UserError(_why_not_opened(name, data_dir))
    _require_indexable(name, builder)
    _require_own_metadata(name, pathlib.Path(builder.data_dir))
    stored = _image_feature(name, builder)
    is_gray = _holds_gray_pixels(stored)
    return BuiltDataset(
        name=f"{builder.info.full_name}".replace(f"/{builder.version}", f":{builder.version}"),
        data_dir=data_dir,
        class_names=tuple(_label_feature(name, builder).names),
        image_shape=tuple(stored.shape) if is_gray else _NETWORK_SHAPE,
        stores_pixels=is_gray,
        builder=builder,
    )


def _how_to_build(name: str, data_dir: str) -> str:
    for dataset, folder in _BUILDERS.items():
        if name.startswith(dataset):
            return f"tfds build cxr_tfds/{dataset} --manual_dir={folder} --data_dir={data_dir}"
    return f"tfds build {name.partition(':')[0]} --data_dir={data_dir}"


def _why_not_opened(name: str, data_dir: str) -> str:
    """What the directory holds in the place of a dataset, and what to do."""
    built = _built(data_dir)
    if name in built + [full_name.partition(":")[0] for full_name in built]:
        found = f"{name} in {data_dir} is damaged"
    else:
        found = f"{data_dir} holds no built dataset {name}"
        if built:
            found += f", but {', '.join(built)}"
        first = re.split("[:/]", name)[0]
        if first.isidentifier() and any(pathlib.Path(data_dir, first).glob("**/incomplete.*")):
            found += ", and what an interrupted build has left"
    return f"{found}; build it with: {_how_to_build(name, data_dir)}"


def _built(data_dir: str) -> list[str]:
    """Names of the datasets in a directory, `name[/config]:version`."""
    infos = [
        path.parent.relative_to(data_dir)
        for pattern in ("*/*/dataset_info.json", "*/*/*/dataset_info.json")
        for path in pathlib.Path(data_dir).glob(pattern)
    ]
    return sorted(
        f"{path.parent}:{path.name}" for path in infos if not path.name.startswith("incomplete")
    )


def _label_feature(name: str, builder: tfds.core.DatasetBuilder) -> tfds.features.ClassLabel:
    label = dict(builder.info.features).get("label")
    if not isinstance(label, tfds.features.ClassLabel):
        raise UserError(f"{name} has no feature `label` with class names; it cannot be trained on")
    if len(set(label.names)) < len(label.names):
        raise Damaged(
            f"{name} in {builder.data_dir} names a class twice ({', '.join(label.names)}): build "
            "the dataset again"
        )
    return label


def _require_indexable(name: str, builder: tfds.core.DatasetBuilder) -> None:
    formats = record_index.TFRECORD, record_index.ARRAY_RECORD
    if builder.info.file_format.value not in formats:
        raise UserError(
            f"{name} in {builder.data_dir} is stored as {builder.info.file_format.value}, which "
            f"cannot be trained on: build it with --file_format={' or '.join(formats)}"
        )


def _require_own_metadata(name: str, folder: pathlib.Path) -> None:
    """Compares the names of classes, and what a record holds, with what was built."""
    for file, digest in integrity.read_sums(folder).items():
        if file.endswith((".labels.txt", "features.json")):
            path = folder / file
            if not path.exists() or sha256_of(path) != digest:
                raise Damaged(
                    f"{name} in {folder} is damaged ({file} is not the file that was built: "
                    f"{SUMS} beside it has another SHA-256): build the dataset again"
                )


def _image_feature(name: str, builder: tfds.core.DatasetBuilder) -> tfds.features.Tensor:
    image = dict(builder.info.features).get("image")
    if isinstance(image, tfds.features.Tensor | tfds.features.Image) and len(image.shape) == 3:
        if image.np_dtype == np.uint8 and image.shape[2] in (1, 3, 4):
            return image
    raise UserError(
        f"{name} cannot be trained on: its feature `image` is {image}; expected uint8 images of 1, "
        "3 or 4 channels"
    )


def _holds_gray_pixels(image: tfds.features.Tensor) -> bool:
    """Whether records hold the bytes of gray pixels of one size, and not a file or a list."""
    if isinstance(image, tfds.features.Image) or image.to_json_content().encoding != "bytes":
        return False
    return image.shape[2] == 1 and None not in image.shape
