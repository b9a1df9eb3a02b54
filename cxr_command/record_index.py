"""An index of a split's records, stored beside the shards for random access.

An index is a NumPy file with one row per record, in the order of the shards, and the fields

    shard    number of the file
    offset   where the record begins in it, in bytes; of ArrayRecord, the number of the record
    length   of the record, in bytes
    image    where the bytes of its feature `image` begin within the record
    size     their number; 0 where `image` is not one text
    label    of its class, -1 if unknown
    id       of the example; a hash of the record where the dataset stores none
    group    of the example; only where the dataset stores one
"""

import mmap
import os
import struct
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    import tensorflow as tf

TFRECORD, ARRAY_RECORD = "tfrecord", "array_record"
# A record of a TFRecord file: length, checksum of the length, content, checksum of the content.
BEFORE, AFTER = 12, 4
_NUMBERS = (
    ("shard", "<u4"), ("offset", "<u8"), ("length", "<u8"), ("image", "<u4"), ("size", "<u4"),
    ("label", "<i8"),
)  # fmt: skip
_HASHES = 2**62


def name_of(dataset: str, split: str) -> str:
    """Returns the index's file name: `covid19_radiography-train.index.npy`."""
    return f"{dataset}-{split}.index.npy"


def make(paths: Sequence[str], file_format: str) -> np.ndarray:
    """Builds the index by reading all records of a split; TFRecord's checksums are verified.

    Args:
        paths: shards of the split.
        file_format: `tfrecord` or `array_record`.

    Returns:
        The index, `[records]`.

    Raises:
        ValueError: a record is damaged, or is not an example with a label.
        OSError: a file could not be read.
    """
    shards = [_of_shard(number, path, file_format) for number, path in enumerate(paths)]
    return np.concatenate(shards) if shards else np.zeros(0, list(_NUMBERS))


def read(path: str | os.PathLike) -> np.ndarray:
    """Opens an index written by `numpy.save`, memory-mapped.

    Raises:
        ValueError: the file is not an index.
        OSError: the file could not be read.
    """
    index = np.load(path, mmap_mode="r", allow_pickle=False)
    fields = dict(index.dtype.descr) if index.dtype.names else {}
    texts = {name: fields.pop(name) for name in ("id", "group") if name in fields}
    if index.ndim != 1 or fields != dict(_NUMBERS) or "id" not in texts:
        raise ValueError(f"expected an index of records, found an array of {index.dtype}")
    # A plain array, as memmap's own slicing is slow.
    return index.view(np.ndarray)


def _of_shard(number: int, path: str, file_format: str) -> np.ndarray:
    places = _tfrecords(path) if file_format == TFRECORD else _array_records(path)
    rows = [(number, offset, len(record), *_described(record)) for offset, record in places]
    longest = {"id": max([len(row[-2]) for row in rows], default=1)}
    if any(row[-1] is not None for row in rows):
        longest["group"] = max(len(row[-1] or b"") for row in rows)
    fields = list(_NUMBERS) + [(name, f"S{max(size, 1)}") for name, size in longest.items()]
    return np.array([row[: len(fields)] for row in rows], fields)


def _tfrecords(path: str) -> Iterator[tuple[int, bytes]]:
    """Yields offset and content of each record, verifying its checksum."""
    import tensorflow as tf

    spans = list(_spans(path))
    records = tf.data.TFRecordDataset(path).as_numpy_iterator()
    try:
        for offset, _ in spans:
            yield offset, next(records)
    except tf.errors.DataLossError as error:
        raise ValueError("a record's checksum is wrong") from error
    except tf.errors.OpError as error:
        raise OSError(error.message) from error


def _spans(path: str) -> Iterator[tuple[int, int]]:
    """Yields offset and length of each record, from the lengths stored before them."""
    with open(path, "rb") as file:
        size = os.fstat(file.fileno()).st_size
        if size == 0:
            return
        with mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as content:
            position = 0
            while position + BEFORE <= size:
                (length,) = struct.unpack_from("<Q", content, position)
                yield position + BEFORE, length
                position += BEFORE + length + AFTER
            if position != size:
                raise ValueError(f"{os.path.basename(path)} ends within a record")


def _array_records(path: str) -> Iterator[tuple[int, bytes]]:
    from array_record.python.array_record_module import ArrayRecordReader

    reader = ArrayRecordReader(path)
    try:
        for number in range(reader.num_records()):
            yield number, reader.read([number])[0]
    finally:
        reader.close()


def _described(record: bytes) -> tuple[int, int, int, bytes, bytes | None]:
    """Returns the image's offset and size, the label, the id and the group."""
    import tensorflow as tf
    from google.protobuf.message import DecodeError

    try:
        features = tf.train.Example.FromString(record).features.feature
        (label,) = features["label"].int64_list.value
    except (DecodeError, ValueError) as error:
        raise ValueError("a record has no label or no image") from error
    images = features["image"].bytes_list.value
    image = images[0] if len(images) == 1 else b""
    return (
        record.index(image),
        len(image),
        label,
        _text(features["id"]) or _hash(record),
        _text(features["group"]),
    )


def _text(feature: "tf.train.Feature") -> bytes | None:
    """Returns a feature's single text or number as text; None if it has none."""
    if len(feature.bytes_list.value) == 1:
        return feature.bytes_list.value[0]
    if len(feature.int64_list.value) == 1:
        return str(feature.int64_list.value[0]).encode()
    return None


def _hash(record: bytes) -> bytes:
    """Returns a hash independent of the record's location, equal only for identical records."""
    import tensorflow as tf

    return str(tf.strings.to_hash_bucket_fast(record, _HASHES).numpy()).encode()
