"""Decoded images of a split, kept on the local disk: for images that are stored encoded."""

import os
import pathlib
import shutil

import tensorflow as tf
from absl import logging

from cxr_command.checksums import SUMS, lines_of, sha256_of
from trainer.data.cache_folder import cache_root, folder_of, free_bytes, locked, set_aside
from trainer.data.dataset import BuiltDataset
from trainer.data.integrity import read_sums
from trainer.data.records import raw_record, read_batches
from trainer.data.stamps import digests_of
from trainer.directory import writing_to
from trainer.errors import Damaged, UserError
from trainer.progress_line import ProgressLine

# Raised when the pixels that the same files give change.
_VERSION = 2
_BATCH = 256
_EXAMPLES_PER_FILE = 2048
# Bytes of a record beside the pixels, and to spare.
_BYTES_BESIDE = 200


def bytes_needed(dataset: BuiltDataset, split: str) -> int:
    """The size of a split's decoded images on disk."""
    pixels = tf.TensorShape(dataset.image_shape).num_elements()
    return dataset.num_examples(split) * (pixels + _BYTES_BESIDE)


def fits(dataset: BuiltDataset, split: str) -> bool:
    """Whether the disk has twice the room that a split's decoded images need, or holds them."""
    return _folder(dataset, split).exists() or bytes_needed(dataset, split) < free_bytes() / 2


def cached_files(dataset: BuiltDataset, split: str) -> tuple[list[str], list[int]]:
    """Decodes a split once, and gives the files that hold its images as `raw_record` writes them.

    Args:
        dataset: a built dataset.
        split: its split.

    Returns:
        Paths of TFRecord files, in the order of the dataset's, and the number of records of each.
        An earlier run's are used again if the dataset is the same and they are as they were
        written.

    Raises:
        UserError: the disk is too full.
    """
    folder = _folder(dataset, split)
    try:
        with locked(folder):
            _complete(dataset, split, folder)
    except OSError as error:
        raise UserError(f"{folder} could not be written ({error.strerror}); make room") from error
    logging.info("decoded images of %s: %s", split, folder)
    size = dataset.num_examples(split)
    files = [str(path) for path in _files_in(folder)]
    starts = range(0, size, _EXAMPLES_PER_FILE)
    return files, [min(_EXAMPLES_PER_FILE, size - start) for start in starts]


def _files_in(folder: pathlib.Path) -> list[pathlib.Path]:
    return sorted(folder.glob("*.tfrecord"))


def _is_intact(folder: pathlib.Path) -> bool:
    """Whether the files are those that were written."""
    try:
        expected = read_sums(folder)
    except Damaged:
        return False
    paths = [str(path) for path in _files_in(folder)]
    names = [os.path.basename(path) for path in paths]
    return dict(zip(names, digests_of(paths), strict=True)) == expected


def _complete(dataset: BuiltDataset, split: str, folder: pathlib.Path) -> None:
    """Fills the folder unless it is whole; what is damaged is set aside first."""
    if folder.exists() and not _is_intact(folder):
        set_aside(folder)
    if folder.exists():
        return
    needed, free = bytes_needed(dataset, split), free_bytes()
    if needed > free:
        raise UserError(
            f"--cache=disk needs {needed / 1e6:.0f} MB in {cache_root()}, and {free / 1e6:.0f} MB "
            "are free there: make room, set CXR_CACHE_DIR to another disk, or use --cache=off"
        )
    partial = folder.with_name(f"{folder.name}.partial")
    shutil.rmtree(partial, ignore_errors=True)  # Of a process that was killed: the lock was free.
    partial.mkdir()
    try:
        with writing_to(folder):
            _write(dataset, split, partial)
            partial.rename(folder)
    finally:
        shutil.rmtree(partial, ignore_errors=True)


def _write(dataset: BuiltDataset, split: str, folder: pathlib.Path) -> None:
    size = dataset.num_examples(split)
    batches = read_batches(dataset, split, batch_size=_BATCH)
    line = ProgressLine(f"decoding {split}", -(-size // _BATCH), _BATCH)
    for step, batch in enumerate(batches.prefetch(1).as_numpy_iterator()):
        number = step * _BATCH // _EXAMPLES_PER_FILE
        if step * _BATCH % _EXAMPLES_PER_FILE == 0:
            writer = tf.io.TFRecordWriter(str(folder / f"{number:05d}.tfrecord"))
        for image, label, example_id in zip(
            batch["image"], batch["label"], batch["id"], strict=True
        ):
            writer.write(raw_record(image.tobytes(), int(label), example_id))
        if (step + 1) * _BATCH % _EXAMPLES_PER_FILE == 0 or (step + 1) * _BATCH >= size:
            writer.close()
        line.show(step + 1)
    line.clear()
    digests = {path.name: sha256_of(path) for path in _files_in(folder)}
    (folder / SUMS).write_text(lines_of(digests))


def _folder(dataset: BuiltDataset, split: str) -> pathlib.Path:
    """The folder of a split, named after all that its content depends on."""
    key = repr((_VERSION, dataset.name, split, dataset.image_shape, dataset.digest(split)))
    return folder_of(dataset.name, split, "images", key)
