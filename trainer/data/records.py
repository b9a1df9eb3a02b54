"""Records of a built dataset by position: their location, reading and parsing."""

import dataclasses
import functools
import hashlib
import itertools
import os
from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING

import numpy as np
import tensorflow as tf
import tensorflow_datasets as tfds

from cxr_command import record_index
from cxr_command.foreign_text import first_line
from trainer.data import pixels
from trainer.data.dataset import BuiltDataset
from trainer.data.mapped_files import map_files
from trainer.parsing import unreadable

if TYPE_CHECKING:
    from array_record.python.array_record_module import ArrayRecordReader

READ_BATCH = 256

# Maps a batch of records, `[batch] string`, to its features, `[batch, ...]` each; `image` is
# `[batch, H, W, 1] uint8`.
Parser = Callable[[tf.Tensor], dict[str, tf.Tensor]]


@dataclasses.dataclass(frozen=True)
class Records:
    """Some of a dataset's records, in file order.

    Attributes:
        paths: the shards.
        index: `[records]`, as of `record_index`, one row per record.
        file_format: of the shards, `tfrecord` or `array_record`.
        digest: SHA-256 of the shards' content and of the selection of records.
    """

    paths: tuple[str, ...]
    index: np.ndarray
    file_format: str
    digest: str

    def __len__(self) -> int:
        return len(self.index)

    @property
    def are_mapped(self) -> bool:
        """Whether records can be copied from a mapped file; ArrayRecord's are compressed."""
        return self.file_format == record_index.TFRECORD

    def offsets(self, field: str | None = None) -> np.ndarray:
        """Returns each record's, or its image's, offset in the mapped shards, `[records] int64`."""
        offsets = map_files(self.paths).starts[self.index["shard"]] + self.index["offset"]
        return (offsets + (self.index[field] if field else 0)).astype(np.int64)

    def read(self, rows: slice) -> list[bytes]:
        """Returns the content of consecutive records.

        Raises:
            OSError: a file could not be read.
        """
        wanted = self.index[rows]
        if self.file_format == record_index.ARRAY_RECORD:
            return [
                _array_record(self.paths[shard]).read([int(number)])[0]
                for shard, number in zip(wanted["shard"], wanted["offset"], strict=True)
            ]
        contents = []
        for shard, rows_of_shard in itertools.groupby(wanted, key=lambda row: row["shard"]):
            with open(self.paths[shard], "rb") as file:
                contents += [
                    os.pread(file.fileno(), int(row["length"]), int(row["offset"]))
                    for row in rows_of_shard
                ]
        return contents

    def sample(self, most: int, seed: int) -> "Records":
        """Returns a random subset of at most `most` records, in file order."""
        if len(self) <= most:
            return self
        chosen = np.random.default_rng(seed).choice(len(self), most, replace=False)
        digest = hashlib.sha256(repr((self.digest, most, seed)).encode()).hexdigest()
        return dataclasses.replace(self, index=self.index[np.sort(chosen)], digest=digest)

    def groups(self) -> np.ndarray:
        """Returns the group of each record, `[records] str`; without groups, one per record."""
        names = self.index.dtype.names or ()
        return text_of(self.index["group" if "group" in names else "id"])

    def shares_with(self, other: "Records") -> int:
        """Returns the number of records in both."""
        return sum(
            len(np.intersect1d(self._offsets_in(path), other._offsets_in(path)))
            for path in set(self.paths).intersection(other.paths)
        )

    def _offsets_in(self, path: str) -> np.ndarray:
        """Returns the offsets of a file's records within it."""
        return self.index["offset"][self.index["shard"] == self.paths.index(path)]


@functools.cache
def _array_record(path: str) -> "ArrayRecordReader":
    from array_record.python.array_record_module import ArrayRecordReader

    return ArrayRecordReader(path)


def from_files(records: Records) -> Callable[[tf.Tensor], tf.Tensor]:
    """Returns a function that reads records from files with operations another process can run.

    Args:
        records: records of TFRecord files.

    Returns:
        A function that maps positions, `[batch] int64` of static shape, to records,
        `[batch] string`.
    """
    paths, shards = tf.constant(records.paths), tf.constant(records.index["shard"].astype(np.int32))
    # TensorFlow starts reading at the length field in front of the content.
    offsets = tf.constant(records.index["offset"].astype(np.int64) - record_index.BEFORE)

    def read(positions: tf.Tensor) -> tf.Tensor:
        files, places = (
            tf.gather(paths, tf.gather(shards, positions)),
            tf.gather(offsets, positions),
        )
        return tf.stack(
            [_one_record(file, place) for file, place in
             zip(tf.unstack(files), tf.unstack(places), strict=True)]
        )  # fmt: skip

    return read


def _one_record(path: tf.Tensor, offset: tf.Tensor) -> tf.Tensor:
    dataset = tf.raw_ops.TFRecordDatasetV2(
        filenames=path[None], compression_type="", buffer_size=0, byte_offsets=offset[None]
    )
    return tf.raw_ops.DatasetToSingleElement(
        dataset=tf.raw_ops.TakeDataset(
            input_dataset=dataset, count=tf.constant(1, tf.int64),
            output_types=[tf.string], output_shapes=[[]],
        ),
        output_types=[tf.string], output_shapes=[[]],
    )[0]  # fmt: skip


def read_batches(
    dataset: BuiltDataset, records: Records, features: Sequence[str], batch_size: int = READ_BATCH
) -> Iterator[dict[str, np.ndarray]]:
    """Reads records in file order.

    Args:
        dataset: the dataset of the records.
        records: the records.
        features: as of `parser_of`.
        batch_size: examples in each batch; the last one may have fewer.

    Yields:
        The parsed features of each batch.

    Raises:
        Unreadable: a file could not be read.
        tf.errors.DataLossError: a record cannot be decoded.
    """
    parse = tf.function(
        parser_of(dataset, features), input_signature=[tf.TensorSpec([None], tf.string)]
    )
    for first in range(0, len(records), batch_size):
        try:
            contents = records.read(slice(first, first + batch_size))
        except OSError as error:
            raise unreadable(dataset.name, error.strerror or str(error)) from error
        try:
            batch = parse(tf.constant(contents))
        except tf.errors.InvalidArgumentError as error:  # Not an error of a training step here.
            raise tf.errors.DataLossError(None, None, first_line(error)) from error
        yield {name: column.numpy() for name, column in batch.items()}


def names_of(dataset: BuiltDataset, feature: str, values: np.ndarray) -> np.ndarray:
    """Converts values of a text or class-label feature to names, `[examples] str`."""
    connector = dataset.builder.info.features[feature]
    if isinstance(connector, tfds.features.ClassLabel):
        return np.array(connector.names)[values]
    return text_of(values)


def text_of(values: np.ndarray) -> np.ndarray:
    """Decodes UTF-8."""
    return np.char.decode(values.astype(bytes), "utf-8")


def image_parser(dataset: BuiltDataset) -> Callable[[tf.Tensor], tf.Tensor]:
    """Returns the fastest parser of records, `[batch] string`, to images, `[batch, ...] uint8`."""
    if not dataset.stores_pixels:
        parse = parser_of(dataset, ["image"])
        return lambda records: parse(records)["image"]
    features = {"image": tf.io.FixedLenFeature((), tf.string)}
    return lambda records: tf.io.decode_raw(
        tf.io.parse_example(records, features)["image"], tf.uint8
    )


def parser_of(dataset: BuiltDataset, features: Sequence[str]) -> Parser:
    """Creates a parser for features of any format and images of any size that TFDS stores.

    Args:
        dataset: a built dataset.
        features: names of the features; those that the dataset lacks are omitted.
    """
    stored = dataset.builder.info.features
    wanted = tfds.features.FeaturesDict({name: stored[name] for name in features if name in stored})
    signature = {name: feature.get_tensor_spec() for name, feature in wanted.items()}
    if "image" in wanted:
        signature["image"] = tf.TensorSpec(dataset.image_shape, tf.uint8)

    def parse_one(serialized: tf.Tensor) -> dict:
        example = wanted.deserialize_example(serialized)
        if "image" in example:
            example["image"] = pixels.resize(pixels.to_gray(example["image"]), dataset.image_shape)
        return example

    def parse(serialized: tf.Tensor) -> dict:
        return tf.map_fn(
            parse_one, serialized, fn_output_signature=signature,
            parallel_iterations=os.cpu_count(),
        )  # fmt: skip

    return parse
