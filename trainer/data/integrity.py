"""Whether a split's shards hold what their dataset says, verified once for each content."""

import hashlib
import mmap
import os
import pathlib
import struct
from collections.abc import Sequence
from typing import NamedTuple

import tensorflow as tf

from cxr_command import checksums
from cxr_command.foreign_text import first_line
from trainer.data import stamps
from trainer.errors import Damaged
from trainer.json_file import integer, list_of
from trainer.parsing import parsing, unreadable

# What TensorFlow raises for a record that is not what it should be: the last, where its message
# would quote bytes that are no text.
READING_ERRORS = (tf.errors.DataLossError, tf.errors.InvalidArgumentError, UnicodeDecodeError)
_BATCH = 256
# A record of a TFRecord file: its length, that number's checksum, the content, its checksum.
_LENGTH, _CHECKSUM = 8, 4
_FIELDS = {
    "records": list_of(integer(0)),
    "labels": list_of(integer(-(2**63), 2**63 - 1)),
    "image_bytes": list_of(integer(0)),
}


class Contents(NamedTuple):
    """What the shards of a split hold.

    Attributes:
        records: number of records of each shard.
        labels: the lowest and the highest label.
        image_bytes: the smallest and the largest size of a stored image; empty where images are
            not stored as one text each.
    """

    records: list[int]
    labels: list[int]
    image_bytes: list[int]


def digest_of(paths: Sequence[str]) -> str:
    """One SHA-256 for a split's shards: of their names and digests.

    Args:
        paths: the shards.

    Raises:
        Damaged: a shard is missing, or is not what stands in `SHA256SUMS` beside it.
        Unreadable: a file could not be read.
    """
    found = dict(zip(map(os.path.basename, paths), stamps.digests_of(paths), strict=True))
    expected = read_sums(pathlib.Path(paths[0]).parent)
    for name in found if expected else ():
        if found[name] != expected.get(name):
            raise Damaged(f"{name} is not the file that was built: its SHA-256 is another")
    return hashlib.sha256(checksums.lines_of(found).encode()).hexdigest()


def read_sums(folder: pathlib.Path) -> dict[str, str]:
    """The digests that a builder wrote beside its files, by name; empty where it wrote none.

    Raises:
        Damaged: the file holds something else.
        Unreadable: it could not be read.
    """
    path = folder / checksums.SUMS
    if not path.exists():
        return {}
    with parsing(path, "build the dataset again"):
        return checksums.parse(path.read_text().splitlines())


def contents_of(paths: Sequence[str], digest: str, *, stores_pixels: bool) -> Contents:
    """What is in a split's shards; every record's checksum is compared.

    Args:
        paths: the shards.
        digest: of them; what has this digest is read once.
        stores_pixels: whether each record holds an image as one text.

    Raises:
        Damaged: a record is truncated or not whole, or is no example with a label.
    """
    kind = "pixels" if stores_pixels else "files"
    kept_in = stamps.folder() / f"contents-of-{kind}-{digest}.json"
    if known := stamps.recall(kept_in, _FIELDS):
        return Contents(**known)
    contents = Contents([_count_records(path) for path in paths], *_scan(paths, stores_pixels))
    stamps.keep(kept_in, contents._asdict())
    return contents


def _count_records(path: str) -> int:
    """Walks over the lengths of a shard's records."""
    with parsing(path, "put it back in its place"), open(path, "rb") as file:
        size = os.fstat(file.fileno()).st_size
        if size == 0:
            return 0
        with mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as content:
            records = position = 0
            while position + _LENGTH + _CHECKSUM <= size:
                (length,) = struct.unpack_from("<Q", content, position)
                position += _LENGTH + _CHECKSUM + length + _CHECKSUM
                records += 1
            if position != size:
                raise Damaged(f"{os.path.basename(path)} ends within a record")
            return records


def _scan(paths: Sequence[str], stores_pixels: bool) -> tuple[list[int], list[int]]:
    features = {"label": tf.io.FixedLenFeature((), tf.int64)}
    if stores_pixels:
        features["image"] = tf.io.FixedLenFeature((), tf.string)

    def bounds(serialized: tf.Tensor) -> tf.Tensor:
        batch = tf.io.parse_example(serialized, features)
        sizes = tf.strings.length(batch.get("image", tf.constant([""])))
        return tf.stack([_bounds(batch["label"]), _bounds(tf.cast(sizes, tf.int64))])

    records = tf.data.Dataset.from_tensor_slices(list(paths)).interleave(
        tf.data.TFRecordDataset, num_parallel_calls=tf.data.AUTOTUNE, block_length=_BATCH
    )
    batches = records.batch(_BATCH).map(bounds, num_parallel_calls=tf.data.AUTOTUNE)
    try:
        found = list(batches.as_numpy_iterator())
    except READING_ERRORS as error:
        is_lost = isinstance(error, tf.errors.DataLossError)
        what = "'s checksum is wrong" if is_lost else " holds no label, or no image"
        raise Damaged(f"a record{what}") from error
    except tf.errors.OpError as error:
        raise unreadable(pathlib.Path(paths[0]).parent, first_line(error)) from error
    if not found:
        return [], []
    lowest = [min(part[row][0] for part in found) for row in range(2)]
    highest = [max(part[row][1] for part in found) for row in range(2)]
    labels, sizes = ([int(low), int(high)] for low, high in zip(lowest, highest, strict=True))
    return labels, sizes if stores_pixels else []


def _bounds(values: tf.Tensor) -> tf.Tensor:
    return tf.stack([tf.reduce_min(values), tf.reduce_max(values)])
