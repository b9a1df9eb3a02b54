"""The shards of a split: their number and order, with reproducible bytes."""

import contextlib
import itertools
import os
from collections.abc import Generator, Iterable, Sequence
from typing import Any

import tensorflow_datasets.public_api as tfds
from tensorflow_datasets.core import hashing
from tensorflow_datasets.core.utils import shard_utils
from tensorflow_datasets.proto import tf_example_pb2

from cxr_command import record_index

from . import parallel, paths
from .refusal import RefusedError

# TensorFlow's alignment of tensors, in bytes.
_ALIGNMENT = 64
# An undefined field of `tf.train.Example` that every parser skips: number 15, a string.
_PADDING = b"\x7a"
# Minimum per shard: workers read whole shards, so a shard should be worth opening.
_FEWEST_EXAMPLES = 64


class TooManyShardsError(RefusedError, ValueError):
    """More shards were requested than a split has examples."""


def number(sizes: Sequence[int], asked_for: int | None) -> int:
    """Chooses how many shards each split gets: 32 for the whole database.

    Args:
      sizes: The number of examples of each split.
      asked_for: The number requested by the user, or None.

    Returns:
      The requested number, or else the largest power of two with at least 64 examples per shard of
      the smallest split.

    Raises:
      TooManyShardsError: More shards were requested than a split has examples.
    """
    smallest = min(sizes)
    if asked_for and asked_for > smallest:
        raise TooManyShardsError(
            f"--num_shards={asked_for} is more than the smallest split has examples, {smallest}."
        )
    return asked_for or 1 << max(1, smallest // _FEWEST_EXAMPLES).bit_length() - 1


def shuffled(ids: Iterable[str], split: str) -> list[str]:
    """Sorts ids in the order in which TFDS stores examples with these keys.

    Args:
      ids: The ids of a split.
      split: The name of the split, which TFDS uses as the salt.

    Returns:
      The ids, sorted by the hash of the key.
    """
    return sorted(ids, key=hashing.Hasher(split).hash_key)


class CanonicalWriter(tfds.core.ExampleWriter):
    """Writes each record in a canonical serialization.

    A `tf.train.Example` is a map, whose serialization order differs between processes unless
    protobuf sorts the keys. The image starts at a multiple of 64 bytes in its TFRecord file, so
    that TensorFlow can use a slice of the mapped file as a tensor and copies it only once.
    """

    def write(self, path: os.PathLike, examples: Iterable[tuple[Any, bytes]]) -> Any:
        """Writes one shard.

        Args:
          path: The file.
          examples: The key and the record of each example.

        Returns:
          The result of the file format's writer.
        """
        return super().write(path, self._aligned(examples))

    def _aligned(self, examples: Iterable[tuple[Any, bytes]]) -> Iterable[tuple[Any, bytes]]:
        position = 0
        for key, record in examples:
            aligned = _align(_canonical(record), position + record_index.BEFORE)
            position += record_index.BEFORE + len(aligned) + record_index.AFTER
            yield key, aligned


def write(
    split: str,
    examples: Generator[tuple[str, dict[str, Any]], None, None],
    size: int,
    num_shards: int,
    builder: tfds.core.GeneratorBasedBuilder,
) -> tfds.core.SplitInfo:
    """Writes a split from examples in final order, holding only a few of them in memory.

    TFDS's own writer holds up to a gigabyte of examples in memory to sort them.

    Args:
      split: The name of the split.
      examples: The key and the values of each example.
      size: The number of examples.
      num_shards: The number of files to write.
      builder: The builder, which defines the path and the features and writes the files.

    Returns:
      TFDS' metadata of the split.
    """
    features = builder.info.features
    serializer = tfds.core.ExampleSerializer(features.get_serialized_info())

    def serialize(example: tuple[str, dict[str, Any]]) -> tuple[str, bytes]:
        return example[0], serializer.serialize_example(features.encode_example(example[1]))

    template = builder._get_filename_template(split)
    ends = shard_utils.get_shard_boundaries(size, num_shards)
    lengths = [end - start for start, end in itertools.pairwise([0, *ends])]
    files = template.sharded_filepaths(num_shards)
    # Closing the examples removes their progress bar before an error is shown.
    with (
        contextlib.closing(examples),
        contextlib.closing(parallel.bounded_map(serialize, examples)) as records,
    ):
        for path, length in zip(files, lengths, strict=True):
            builder._example_writer().write(path, itertools.islice(records, length))
    return tfds.core.SplitInfo(
        name=split,
        shard_lengths=lengths,
        num_bytes=sum(map(paths.size, files)),
        filename_template=template,
    )


def _canonical(record: bytes) -> bytes:
    return tf_example_pb2.Example.FromString(record).SerializeToString(deterministic=True)


def _align(record: bytes, position: int) -> bytes:
    """Adds padding to a record so that its image starts at a multiple of `_ALIGNMENT`.

    Args:
      record: A serialized example; one without an encoded image is returned unchanged.
      position: The position of the record in its file.
    """
    images = tf_example_pb2.Example.FromString(record).features.feature["image"].bytes_list.value
    padding = -(position + record.index(images[0])) % _ALIGNMENT if images else 0
    if padding == 1:  # A field takes at least two bytes.
        padding += _ALIGNMENT
    return _PADDING + bytes([padding - 2]) + bytes(padding - 2) + record if padding else record
