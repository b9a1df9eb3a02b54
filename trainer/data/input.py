"""The input pipeline: shards of a built dataset to uint8 batches, one for each replica and step.

A batch is a function of its number: the number gives epoch and step, these with the seed the
positions of its examples, and the index of records where their bytes lie. Each worker makes its own
batches and reads nothing else, and a training goes on anywhere at no cost. An epoch is
`steps_per_epoch` global batches; where the last one is not full it is filled with examples that
weigh nothing, so shapes are static, as XLA wants them, and every example counts exactly once.
"""

import dataclasses
import functools
import os
from collections.abc import Callable, Sequence

import numpy as np
import tensorflow as tf
from absl import logging

from trainer.data import augment, disk_cache, order
from trainer.data.data_service import load_on_hosts
from trainer.data.dataset import BuiltDataset
from trainer.data.device_buffers import disable_autotuner
from trainer.data.mapped_files import MappedFiles, map_files
from trainer.data.records import Records, from_files, image_parser
from trainer.data.selection import select
from trainer.errors import UserError

# Batches of each replica that wait loaded: enough to cover a slow read, few enough to hold.
_BATCHES_AHEAD = 8
# The key of the time at which a batch was loaded.
LOADED_AT = "loaded_at"

ChangeBatch = Callable[[dict[str, tf.Tensor]], dict[str, tf.Tensor]]


@dataclasses.dataclass(frozen=True)
class ExampleStream:
    """The examples of one split, by position.

    Attributes:
        labels: `[examples] int64`, their classes.
        load: positions `[batch] int64`, of a static shape, to `image` `[batch, H, W, C] uint8`,
            `label` `[batch] int64`, `id` `[batch] string` and the `position` itself.
        shuffle_seed: seed of the order, another in each epoch; None keeps the order of the files.
        cache: whether their decoded images are held on the disk, `disk` or `off`.
        finish: completes a batch for training once its draws are known; None if `load` does all.
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
        """The same examples, in the order of their files in every epoch."""
        return dataclasses.replace(self, shuffle_seed=None)

    def positions(self, rows: tf.Tensor, epoch: tf.Tensor) -> tf.Tensor:
        """The examples in some places of an epoch, as of `order.positions`."""
        return order.positions(rows, self.size, self.shuffle_seed, epoch)

    def steps_per_epoch(self, global_batch_size: int) -> int:
        """Number of global batches that hold every example once."""
        return -(-self.size // global_batch_size)

    def one_pass(self, batch_size: int) -> tf.data.Dataset:
        """Batches of what `load` gives, every example once; the last batch may be smaller."""

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
        """Number of examples of each class, `[num_classes] int64`."""
        return np.bincount(self.labels, minlength=num_classes)


def read_examples(
    dataset: BuiltDataset, split: str, *, cache: str, shuffle_seed: int | None,
    on_hosts: bool = False,
) -> ExampleStream:  # fmt: skip
    """Opens a split for reading.

    Args:
        dataset: a built dataset.
        split: its split, or part of one in TFDS' notation.
        cache: of images that are stored encoded: `disk` decodes them once to the local disk, `off`
            in every epoch; `auto` takes the disk if it has twice the room.
        shuffle_seed: as of `ExampleStream`.
        on_hosts: whether data hosts load the examples: they read the files, and map nothing.

    Returns:
        The examples.

    Raises:
        UserError: there is no such split, it is damaged, or there is no room on the disk.
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
    """Decides whether decoded images are kept on the disk, and says why."""
    if dataset.stores_pixels and records.are_mapped:
        if cache == "disk":
            logging.info("cache of %s: off, as its files hold decoded images", split)
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
    """Whether this file system maps files; if not, that is logged."""
    try:
        map_files(records.paths)
    except OSError as error:
        logging.info("files of %s: read in ranges, as they cannot be mapped (%s)", split, error)
        return False
    return True


Load = Callable[[tf.Tensor], tf.Tensor]


def _cut_images(files: MappedFiles, offsets: np.ndarray, size: int) -> Load:
    """Copies pixels from where they lie."""
    places = tf.constant(offsets)
    return lambda positions: files.rows(tf.gather(places, positions), size)


def _map_records(records: Records) -> Load:
    """Copies serialized records from where they lie."""
    files = map_files(records.paths)
    offsets = tf.constant(records.offsets())
    lengths = tf.constant(records.index["length"].astype(np.int64))
    return lambda positions: files.texts(
        tf.gather(offsets, positions), tf.gather(lengths, positions)
    )


def _composed(read: Load, parse: Load) -> Load:
    return lambda positions: parse(read(positions))


def distribute_batches(
    examples: ExampleStream,
    strategy: tf.distribute.Strategy,
    global_batch_size: int,
    *,
    augment_seed: int | None = None,
    change_batch: ChangeBatch | None = None,
    first_epoch: int = 0,
    first_step: int = 0,
    data_hosts: Sequence[str] = (),
    timed: bool = False,
) -> tf.distribute.DistributedDataset | tf.data.Dataset:
    """Endless epochs of batches, each replica's prefetched to its device.

    The replicas' batches are consecutive slices of the global batch, so the global batch is the
    same whatever the number of replicas and of workers.

    Args:
        examples: what `read_examples` returned.
        strategy: the strategy that will consume the batches.
        global_batch_size: a multiple of the number of replicas.
        augment_seed: seed of the draws for augmentation; None makes none.
        change_batch: changes each replica's batch, on the host, one after the other.
        first_epoch: the epoch to start with.
        first_step: the step of that epoch to start with.
        data_hosts: `HOST:PORT` of the data hosts that load the batches; none: they are loaded here.
        timed: whether batches tell when they were loaded; a deterministic TensorFlow refuses to
            read the clock.

    Returns:
        A dataset of dictionaries: `image` `[b, H, W, C] uint8`, `label` `[b] int64`,
        `weight` `[b] float32` (0 for filling rows), with a seed `draws` `[b, NUM_DRAWS] float32`
        and, if timed, `loaded_at`, what `read_clock` gave then; b is the batch of one replica.
    """

    def replica_batches(context: tf.distribute.InputContext) -> tf.data.Dataset:
        start = (first_epoch, first_step)
        return worker_batches(
            examples, global_batch_size, context, augment_seed, start, change_batch, data_hosts,
            timed,
        )  # fmt: skip

    if _is_one_cpu(strategy):
        # The batches lie where they are needed: the buffer in front of each device would cost as
        # much as loading a batch of 16.
        return replica_batches(tf.distribute.InputContext())
    disable_autotuner()
    return strategy.distribute_datasets_from_function(replica_batches)


def _is_one_cpu(strategy: tf.distribute.Strategy) -> bool:
    devices = strategy.extended.worker_devices
    return strategy.num_replicas_in_sync == 1 and "CPU" in devices[0].upper()


def first_batch(
    examples: ExampleStream,
    batch_size: int,
    augment_seed: int,
    change_batch: ChangeBatch | None = None,
) -> dict[str, tf.Tensor]:
    """The first batch of training, undistributed: what `distribute_batches` would begin with."""
    context = tf.distribute.InputContext()
    return next(
        iter(worker_batches(examples, batch_size, context, augment_seed, (0, 0), change_batch))
    )


def worker_batches(
    examples: ExampleStream,
    global_batch_size: int,
    context: tf.distribute.InputContext,
    augment_seed: int | None,
    start: tuple[int, int],
    change_batch: ChangeBatch | None = None,
    data_hosts: Sequence[str] = (),
    timed: bool = False,
) -> tf.data.Dataset:
    """The endless batches of one worker, undistributed: its replicas' of each step in turn.

    Args:
        examples: as of `distribute_batches`, as all that follow but two.
        global_batch_size: likewise.
        context: which worker of how many, and the number of replicas of all.
        augment_seed: likewise.
        start: the epoch, and the step of it, to start with.
        change_batch: likewise.
        data_hosts: likewise.
        timed: likewise.
    """
    batch_size = context.get_per_replica_batch_size(global_batch_size)
    steps = examples.steps_per_epoch(global_batch_size)
    replicas = context.num_replicas_in_sync
    replicas_here = replicas // context.num_input_pipelines
    first_replica = context.input_pipeline_id * replicas_here
    first_epoch, first_step = start

    @tf.autograph.experimental.do_not_convert  # Nothing is to be converted, which takes a while.
    def load(number: tf.Tensor) -> dict[str, tf.Tensor]:
        """A batch of this worker, by its number since the first step of the first epoch."""
        step, replica = number // replicas_here, first_replica + number % replicas_here
        epoch = step // steps
        first = (step % steps * replicas + replica) * batch_size
        rows = first + tf.range(batch_size, dtype=tf.int64)
        batch = examples.load(examples.positions(rows, epoch))
        batch["weight"] = tf.cast(rows < examples.size, tf.float32)
        # Strings cannot enter a compiled function; an id is only needed for the draws.
        ids = batch.pop("id")
        if augment_seed is not None:
            batch["draws"] = augment.uniform_draws(ids, augment_seed, epoch)
        if examples.finish:
            return examples.finish(batch)
        batch.pop("position", None)
        return batch

    # An endless dataset spares tf.distribute its handling of partial batches, which would put a
    # conditional and dynamic shapes in front of every step.
    numbers = tf.data.Dataset.range(
        (first_epoch * steps + first_step) * replicas_here, tf.int64.max
    )
    numbers = numbers.apply(tf.data.experimental.assert_cardinality(tf.data.INFINITE_CARDINALITY))

    def load_all(batches: tf.data.Dataset) -> tf.data.Dataset:
        return batches.map(load, num_parallel_calls=os.cpu_count(), deterministic=True)

    dataset = load_on_hosts(numbers, load_all, data_hosts) if data_hosts else load_all(numbers)
    if change_batch:
        dataset = dataset.map(change_batch)
    if timed:
        dataset = dataset.map(_with_time)
    options = tf.data.Options()
    # The order is a promise: an interrupted run goes on with it, and replicas and workers share it.
    options.deterministic = True
    # Of their own, so that no batch queues behind the operations of the step.
    options.threading.private_threadpool_size = os.cpu_count()
    # The buffers are fixed and need no memory budget. The autotuner's thread keeps an iterator from
    # closing for a minute or more at a run's end.
    options.autotune.enabled = False
    return dataset.prefetch(_BATCHES_AHEAD).with_options(options)


def _with_time(batch: dict) -> dict:
    return batch | {LOADED_AT: read_clock(list(batch.values()))}


def read_clock(after: Sequence[tf.Tensor] = ()) -> tf.Tensor:
    """Microseconds on this machine's clock once tensors are known, an int64 scalar."""
    with tf.control_dependencies(after):
        return tf.cast(tf.timestamp() * 1e6, tf.int64)
