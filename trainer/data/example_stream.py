"""Random access to the examples of a split by position."""

import dataclasses
import functools
import os
from collections.abc import Callable

import numpy as np
import psutil
import tensorflow as tf
from absl import logging

from trainer.data import disk_cache, order
from trainer.data.dataset import BuiltDataset
from trainer.data.mapped_files import MappedFiles, map_files
from trainer.data.records import Records, from_files, image_parser
from trainer.data.selection import select
from trainer.errors import UserError


@dataclasses.dataclass(frozen=True)
class ExampleStream:
    """The examples of one split, read by position.

    Attributes:
        labels: `[examples] int64`, the classes.
        load: maps positions `[batch] int64`, of static shape, to `image` `[batch, H, W, C] uint8`,
            `label` `[batch] int64`, `id` `[batch] string` and the `position` itself.
        shuffle_seed: seed of the order, which differs in each epoch; None keeps the order of the
            files.
        cache: whether decoded images are cached, `disk` or `off`.
        finish: completes a training batch once its draws are known; None if `load` does everything.
    """

    labels: np.ndarray
    load: Callable[[tf.Tensor], dict[str, tf.Tensor]]
    shuffle_seed: int | None = None
    cache: str = "off"
    finish: Callable[[dict[str, tf.Tensor]], dict[str, tf.Tensor]] | None = None

    @property
    def size(self) -> int:
        """Number of examples."""
        return len(self.labels)

    def in_file_order(self) -> "ExampleStream":
        """Returns the same examples, in file order in every epoch."""
        return dataclasses.replace(self, shuffle_seed=None)

    def positions(self, rows: tf.Tensor, epoch: tf.Tensor) -> tf.Tensor:
        """Returns the examples at some places of an epoch, as of `order.positions`."""
        return order.positions(rows, self.size, self.shuffle_seed, epoch)

    def steps_per_epoch(self, global_batch_size: int) -> int:
        """Returns the number of global batches that cover every example once."""
        return -(-self.size // global_batch_size)

    def one_pass(self, batch_size: int) -> tf.data.Dataset:
        """Returns every loaded example once, in batches; the last batch may be smaller."""

        def load(first: tf.Tensor, size: int) -> dict[str, tf.Tensor]:
            rows = first + tf.range(size, dtype=tf.int64)
            return self.load(self.positions(rows, tf.constant(0, tf.int64)))

        rest = self.size % batch_size
        whole = tf.data.Dataset.range(0, self.size - rest, batch_size)
        batches = whole.map(functools.partial(load, size=batch_size))
        if rest:
            last = tf.data.Dataset.from_tensors(tf.constant(self.size - rest, tf.int64))
            batches = batches.concatenate(last.map(functools.partial(load, size=rest)))
        return batches.prefetch(tf.data.AUTOTUNE)

    def count_labels(self, num_classes: int) -> np.ndarray:
        """Returns the number of examples per class, `[num_classes] int64`."""
        return np.bincount(self.labels, minlength=num_classes)


def read_examples(
    dataset: BuiltDataset, split: str, *, cache: str, shuffle_seed: int | None,
    on_hosts: bool = False,
) -> ExampleStream:  # fmt: skip
    """Opens a split for reading.

    Args:
        dataset: a built dataset.
        split: its split, or part of one in TFDS notation.
        cache: cache for images that are stored encoded: `disk` decodes them once to the local disk,
            `off` decodes them in every epoch; `auto` uses the disk if it has twice the space
            needed.
        shuffle_seed: as of `ExampleStream`.
        on_hosts: whether data hosts load the examples; these read the files without mapping them.

    Returns:
        The examples.

    Raises:
        UserError: the split does not exist or is damaged, or the disk is too full.
    """
    records = select(dataset, split)
    resolved = _resolve_cache(dataset, split, records, "off" if on_hosts else cache)
    size = int(np.prod(dataset.image_shape))
    if resolved == "disk":
        images = disk_cache.decoded_images(dataset, split, records)
        with dataset.reading(split):
            disk_cache.decode_once(dataset, records, images)
        load = _cut_images(*images.mapped(), size)
    elif on_hosts or not _can_be_mapped(split, records):
        load = _composed(from_files(records), image_parser(dataset))
    elif dataset.stores_pixels:
        load = _cut_images(map_files(records.paths), records.offsets("image"), size)
    else:
        load = _composed(_map_records(records), image_parser(dataset))
    labels, ids = records.index["label"], tf.constant(records.index["id"])
    known = tf.constant(labels)

    def load_all(positions: tf.Tensor) -> dict[str, tf.Tensor]:
        return {
            "image": tf.reshape(load(positions), [positions.shape[0], *dataset.image_shape]),
            "label": tf.gather(known, positions),
            "id": tf.gather(ids, positions),
            "position": positions,
        }

    return ExampleStream(labels, load_all, shuffle_seed, resolved)


def _resolve_cache(dataset: BuiltDataset, split: str, records: Records, cache: str) -> str:
    """Decides whether decoded images are cached on the disk, and logs the reason."""
    if dataset.stores_pixels and records.are_mapped:
        if cache == "disk":
            logging.info("cache of %s: off, because its files already hold decoded images", split)
        return "off"
    if not records.are_mapped and cache == "off":
        raise UserError(
            f"{dataset.name} is stored as {records.file_format}, whose compressed records are "
            "decoded once to the local disk: use --cache=auto or --cache=disk, without "
            "--data_service"
        )
    if cache != "auto":
        return cache
    images = disk_cache.decoded_images(dataset, split, records)
    resolved = "disk" if disk_cache.fits(images) or not records.are_mapped else "off"
    logging.info("cache of %s: %s (%.0f MB of images)", split, resolved, images.bytes_needed / 1e6)
    return resolved


def _can_be_mapped(split: str, records: Records) -> bool:
    """Whether the files can be memory-mapped; if not, logs the reason.

    Files that exceed the memory are better read in ranges: the operating system reads ahead around
    each access to a mapped file, up to megabytes that only another worker may need.
    """
    size, free = sum(map(os.path.getsize, records.paths)), psutil.virtual_memory().available
    if size > free:
        logging.info(
            "files of %s: read in ranges, as they have %.0f MB and %.0f MB of memory are free",
            split, size / 1e6, free / 1e6,
        )  # fmt: skip
        return False
    try:
        map_files(records.paths)
    except OSError as error:
        logging.info("files of %s: read in ranges, as they cannot be mapped (%s)", split, error)
        return False
    return True


Load = Callable[[tf.Tensor], tf.Tensor]


def _cut_images(files: MappedFiles, offsets: np.ndarray, size: int) -> Load:
    """Returns a loader that copies raw pixels from the mapped files."""
    places = tf.constant(offsets)
    return lambda positions: files.rows(tf.gather(places, positions), size)


def _map_records(records: Records) -> Load:
    """Returns a loader that copies serialized records from the mapped files."""
    files = map_files(records.paths)
    offsets = tf.constant(records.offsets())
    lengths = tf.constant(records.index["length"].astype(np.int64))
    return lambda positions: files.texts(
        tf.gather(offsets, positions), tf.gather(lengths, positions)
    )


def _composed(read: Load, parse: Load) -> Load:
    return lambda positions: parse(read(positions))
