"""A built dataset's training images, repeated on disk with other ids."""

import contextlib
import dataclasses
import itertools
import json
import os
import pathlib
import shutil
import tempfile
from collections.abc import Iterator

import numpy as np

from benchmarks.built_dataset import DATASET
from cxr_command import record_index

CONFIG = "224x224"
SPLIT = "train"
# ArrayRecord compresses and needs less.
_ROOM = 1.05


@dataclasses.dataclass(frozen=True)
class GrownDataset:
    """A temporary dataset on disk.

    Attributes:
        folder: folder as built by TFDS, with the dataset's version.
        files: the shards.
        images: number of images.
        size: size of the shards, in bytes.
    """

    folder: pathlib.Path
    files: tuple[pathlib.Path, ...]
    images: int
    size: int

    @property
    def data_dir(self) -> str:
        """The data directory for TFDS."""
        return str(self.folder.parents[2])

    def leave_memory(self) -> None:
        """Drops the shards from the page cache; pages mapped and touched by a process stay."""
        for path in self.files:
            with path.open("rb") as file:
                os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)

    def enter_memory(self) -> None:
        """Reads the shards into the page cache."""
        for path in self.files:
            with path.open("rb") as file:
                while file.read(1 << 24):
                    pass


def lacking_room(directory: str, data_dir: str, factor: int) -> str | None:
    """Describes the disk space missing for a grown dataset; None if there is enough."""
    needed = int(int(_split_of(_info(_folder_of(data_dir)))["numBytes"]) * factor * _ROOM)
    free = shutil.disk_usage(directory).free
    if needed <= free:
        return None
    return f"it takes {needed / 1e9:.1f} GB, {free / 1e9:.1f} GB are free in {directory}"


@contextlib.contextmanager
def grown(
    data_dir: str, factor: int, images_per_shard: int, file_format: str, directory: str
) -> Iterator[GrownDataset]:
    """Writes the training images repeatedly in the builder's format, with index and digests.

    Args:
        data_dir: directory of the original dataset.
        factor: number of repetitions.
        images_per_shard: images in every file except the last.
        file_format: as of `record_index`.
        directory: directory for the files, which are removed on exit.

    Yields:
        The dataset, flushed to disk.
    """
    with tempfile.TemporaryDirectory(dir=directory) as scratch:
        source = _folder_of(data_dir)
        folder = pathlib.Path(scratch, DATASET, CONFIG, source.name)
        folder.mkdir(parents=True)
        for path in [*source.glob("*.labels.txt"), source / "features.json"]:
            shutil.copy(path, folder)
        images = sum(map(int, _split_of(_info(source))["shardLengths"])) * factor
        lengths = [
            min(images_per_shard, images - first) for first in range(0, images, images_per_shard)
        ]
        files = [
            folder / f"{DATASET}-{SPLIT}.{file_format}-{number:05d}-of-{len(lengths):05d}"
            for number in range(len(lengths))
        ]
        _write_shards(_records(data_dir, factor), files, lengths, file_format)
        _describe(source, folder, files, lengths, file_format)
        for path in files:
            with path.open("rb") as file:
                os.fsync(file.fileno())  # Dirty pages would stay in the page cache.
        size = sum(path.stat().st_size for path in files)
        yield GrownDataset(folder, tuple(files), images, size)


def _records(data_dir: str, factor: int) -> Iterator[tuple[str, bytes]]:
    """Yields keys and records; every image occurs once before any is repeated."""
    from tensorflow_datasets.proto import tf_example_pb2

    from trainer.data.opening import open_dataset
    from trainer.data.records import READ_BATCH
    from trainer.data.selection import select

    records = select(open_dataset(f"{DATASET}/{CONFIG}", data_dir), SPLIT)
    for copy, first in itertools.product(range(factor), range(0, len(records), READ_BATCH)):
        for record in records.read(slice(first, first + READ_BATCH)):
            example = tf_example_pb2.Example.FromString(record)
            example.DiscardUnknownFields()  # The padding, as the image's position changes.
            example_id = example.features.feature["id"].bytes_list
            example_id.value[0] = b"%s-copy-%05d" % (example_id.value[0], copy)
            yield example_id.value[0].decode(), example.SerializeToString()


def _write_shards(
    records: Iterator[tuple[str, bytes]],
    files: list[pathlib.Path],
    lengths: list[int],
    file_format: str,
) -> None:
    import tensorflow_datasets as tfds

    from cxr_tfds.covid19_radiography.shards import CanonicalWriter

    writer = CanonicalWriter(tfds.core.FileFormat(file_format))
    for path, length in zip(files, lengths, strict=True):
        writer.write(path, itertools.islice(records, length))


def _describe(
    source: pathlib.Path, folder: pathlib.Path, files: list[pathlib.Path], lengths: list[int],
    file_format: str,
) -> None:  # fmt: skip
    """Writes the metadata files beside the shards."""
    from cxr_tfds.covid19_radiography import digests

    info = _info(source)
    split = _split_of(info) | {
        "numBytes": str(sum(path.stat().st_size for path in files)),
        "shardLengths": list(map(str, lengths)),
    }
    info |= {"fileFormat": file_format, "splits": [split]}
    (folder / "dataset_info.json").write_text(json.dumps(info))
    index = record_index.make(list(map(str, files)), file_format)
    np.save(folder / record_index.name_of(DATASET, SPLIT), index, allow_pickle=False)
    digests.write(folder)


def _folder_of(data_dir: str) -> pathlib.Path:
    found = sorted(pathlib.Path(data_dir, DATASET, CONFIG).glob("*/dataset_info.json"))
    if not found:
        raise ValueError(f"--data_dir={data_dir} holds no {DATASET}/{CONFIG}")
    return found[-1].parent


def _info(folder: pathlib.Path) -> dict:
    return json.loads((folder / "dataset_info.json").read_text())


def _split_of(info: dict) -> dict:
    (split,) = [split for split in info["splits"] if split["name"] == SPLIT]
    return split
