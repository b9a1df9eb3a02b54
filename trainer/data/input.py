"""The input pipeline: shards of a built dataset to uint8 batches, one for each replica and step.

Light tokens (positions in memory, or serialized records) are shuffled one by one; all other work
is done a batch at a time. An epoch is `steps_per_epoch` global batches; where the last
one is not full it is filled with examples that weigh nothing, so shapes are static, as XLA wants
them, and every example counts exactly once.
"""

import dataclasses
import os
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import psutil
import tensorflow as tf
from absl import logging

from trainer.data import augment, disk_cache
from trainer.data.data_service import load_on_hosts
from trainer.data.dataset import BuiltDataset
from trainer.data.device_buffers import disable_autotuner
from trainer.data.records import READ_BATCH, Parser, parser_of, raw_parser, read_batches

# Share of the free memory that `--cache=auto` lets one split's decoded images take.
AUTO_CACHE_SHARE = 0.4
# Records kept in the shuffle buffer when a split is streamed from disk: 400 MB of 224x224 images.
_SHUFFLE_BUFFER = 8192
# Batches of each replica that wait loaded: enough to cover a slow read, few enough to hold.
_BATCHES_AHEAD = 8
# The key of the time at which a batch was loaded.
LOADED_AT = "loaded_at"
# A fixed number, because the default depends on the cores and the order of the records on it.
_FILES_AT_ONCE = 8

# A batch of tokens: positions, or positions and serialized records.
Tokens = Any
ChangeBatch = Callable[[dict[str, tf.Tensor]], dict[str, tf.Tensor]]


@dataclasses.dataclass(frozen=True)
class ExampleStream:
    """The examples of one split, as tokens to order and a function that loads a batch of them.

    Attributes:
        size: number of examples.
        cache: where their decoded images are held, `memory`, `disk` or `off`.
        filling: a dataset of one scalar token per example, in the order of the files; its first
            ones fill an epoch's last batch.
        tokens: `tokens(epoch)`: likewise, in the epoch's order.
        load: a batch of tokens to `image` `[batch, H, W, C] uint8`, `label` `[batch] int64`,
            `id` `[batch] string` and, of a dataset on disk, `position` `[batch] int64`, the row in
            the order of the files.
        finish: completes a batch for training once its draws are known; None if `load` does all.
    """

    size: int
    cache: str
    filling: tf.data.Dataset
    tokens: Callable[[tf.Tensor], tf.data.Dataset]
    load: Callable[[Tokens], dict[str, tf.Tensor]]
    finish: Callable[[dict[str, tf.Tensor]], dict[str, tf.Tensor]] | None = None

    def in_file_order(self) -> "ExampleStream":
        """The same examples, in the order of their files in every epoch."""
        return dataclasses.replace(self, tokens=lambda epoch: self.filling)

    def steps_per_epoch(self, global_batch_size: int) -> int:
        """Number of global batches that hold every example once."""
        return -(-self.size // global_batch_size)

    def one_pass(self, batch_size: int) -> tf.data.Dataset:
        """Batches of what `load` gives, every example once; the last batch may be smaller."""
        tokens = self.tokens(tf.constant(0, tf.int64)).batch(batch_size)
        return tokens.map(self.load).prefetch(tf.data.AUTOTUNE)

    def count_labels(self, num_classes: int) -> np.ndarray:
        """Number of examples of each class, `[num_classes] int64`."""
        labels = [batch["label"].numpy() for batch in self.one_pass(READ_BATCH)]
        return np.bincount(np.concatenate(labels), minlength=num_classes)


def read_examples(
    dataset: BuiltDataset, split: str, *, cache: str, shuffle_seed: int | None
) -> ExampleStream:
    """Opens a split for reading.

    Args:
        dataset: a built dataset.
        split: its split.
        cache: `memory` holds the split's decoded images in memory, `disk` decodes them once to the
            local disk, `off` reads the shards anew in every epoch. `auto` takes memory if
            `AUTO_CACHE_SHARE` of what is free does, else the disk if the images are stored encoded
            and it has twice the room.
        shuffle_seed: seed of the order, another in each epoch; None keeps the order of the files.

    Returns:
        The examples.

    Raises:
        UserError: there is no such split, it is damaged, or there is no room on the disk.
    """
    size = dataset.num_examples(split)
    resolved = _resolve_cache(dataset, split, cache)
    with dataset.reading(split):
        if resolved == "memory":
            return _examples_in_memory(read_batches(dataset, split), size, shuffle_seed)
        files, lengths = dataset.files(split), dataset.shard_lengths(split)
        parse = parser_of(dataset)
        if resolved == "disk":
            files, lengths = disk_cache.cached_files(dataset, split)
            parse = raw_parser(dataset.image_shape)
    return _examples_on_disk(files, lengths, parse, size, shuffle_seed, resolved)


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
        return _batches(
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
    return next(iter(_batches(examples, batch_size, context, augment_seed, (0, 0), change_batch)))


def _batches(
    examples: ExampleStream,
    global_batch_size: int,
    context: tf.distribute.InputContext,
    augment_seed: int | None,
    start: tuple[int, int],
    change_batch: ChangeBatch | None = None,
    data_hosts: Sequence[str] = (),
    timed: bool = False,
) -> tf.data.Dataset:
    batch_size = context.get_per_replica_batch_size(global_batch_size)
    padded = examples.steps_per_epoch(global_batch_size) * global_batch_size
    first_epoch, first_step = start

    def one_epoch(epoch: tf.Tensor) -> tf.data.Dataset:
        filling = examples.filling.repeat().take(padded - examples.size)
        tokens = examples.tokens(epoch).concatenate(filling).batch(batch_size, drop_remainder=True)
        steps_done = tf.where(epoch == first_epoch, tf.constant(first_step, tf.int64), 0)
        batches = tokens.enumerate().skip(steps_done * (global_batch_size // batch_size))
        batches = _of_worker(batches, context)
        return tf.data.Dataset.zip(batches, tf.data.Dataset.from_tensors(epoch).repeat())

    def load(numbered: tuple[tf.Tensor, tf.Tensor], epoch: tf.Tensor) -> dict[str, tf.Tensor]:
        number, tokens = numbered
        rows = number * batch_size + tf.range(batch_size, dtype=tf.int64)
        batch = examples.load(tokens) | {"weight": tf.cast(rows < examples.size, tf.float32)}
        # Strings cannot enter a compiled function; an id is only needed for the draws.
        ids = batch.pop("id")
        if augment_seed is not None:
            batch["draws"] = augment.uniform_draws(ids, augment_seed, epoch)
        if examples.finish:
            return examples.finish(batch)
        batch.pop("position", None)
        return batch

    dataset = tf.data.Dataset.range(first_epoch, tf.int64.max).flat_map(one_epoch)
    # An endless dataset spares tf.distribute its handling of partial batches, which would put a
    # conditional and dynamic shapes in front of every step.
    dataset = dataset.apply(tf.data.experimental.assert_cardinality(tf.data.INFINITE_CARDINALITY))

    def load_all(batches: tf.data.Dataset) -> tf.data.Dataset:
        return batches.map(load, num_parallel_calls=os.cpu_count(), deterministic=True)

    dataset = load_on_hosts(dataset, load_all, data_hosts) if data_hosts else load_all(dataset)
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


def _of_worker(batches: tf.data.Dataset, context: tf.distribute.InputContext) -> tf.data.Dataset:
    """Of all replicas' numbered batches, those of a worker's replicas: as many for each worker."""
    workers, worker = context.num_input_pipelines, context.input_pipeline_id
    if workers == 1:
        return batches
    replicas_here = context.num_replicas_in_sync // workers
    return batches.filter(lambda number, tokens: number // replicas_here % workers == worker)


def _resolve_cache(dataset: BuiltDataset, split: str, cache: str) -> str:
    """Decides where the decoded images are held, and says why."""
    if cache == "disk" and dataset.stores_pixels:
        logging.info("cache of %s: off, because the dataset's files hold decoded images", split)
        return "off"
    if cache != "auto":
        return cache
    pixels = tf.TensorShape(dataset.image_shape).num_elements()
    needed, free = dataset.num_examples(split) * pixels, psutil.virtual_memory().available
    if needed <= AUTO_CACHE_SHARE * free:
        resolved = "memory"
    elif not dataset.stores_pixels and disk_cache.fits(dataset, split):
        resolved = "disk"
    else:
        resolved = "off"
    logging.info(
        "cache of %s: %s (%.0f MB of images; may take %.0f MB, %.0f%% of the free memory)",
        split, resolved, needed / 1e6, AUTO_CACHE_SHARE * free / 1e6, 100 * AUTO_CACHE_SHARE,
    )  # fmt: skip
    return resolved


def _examples_in_memory(
    batches: tf.data.Dataset, size: int, shuffle_seed: int | None
) -> ExampleStream:
    stored = list(batches)
    columns = {key: tf.concat([part[key] for part in stored], axis=0) for key in stored[0]}

    rows = tf.data.Dataset.range(size)

    def positions(epoch: tf.Tensor) -> tf.data.Dataset:
        if shuffle_seed is None:
            return rows
        order = tf.range(size, dtype=tf.int64)
        order = tf.random.experimental.stateless_shuffle(order, seed=[shuffle_seed, epoch])
        return tf.data.Dataset.from_tensor_slices(order)

    def load(batch: Tokens) -> dict:
        columns_of_batch = {key: tf.gather(column, batch) for key, column in columns.items()}
        return columns_of_batch | {"position": batch}

    return ExampleStream(size, "memory", rows, positions, load)


def _examples_on_disk(
    files: list[str],
    lengths: list[int],
    parse: Parser,
    size: int,
    shuffle_seed: int | None,
    cache: str,
) -> ExampleStream:
    def number(position: tf.Tensor, record: tf.Tensor) -> dict:
        return {"position": position, "record": record}

    def records_of(file: tf.Tensor, first: tf.Tensor) -> tf.data.Dataset:
        return tf.data.TFRecordDataset(file).enumerate(first).map(number)

    starts = tf.constant(np.cumsum([0, *lengths[:-1]]), tf.int64)
    in_file_order = tf.data.TFRecordDataset(files).enumerate().map(number)

    def load(batch: dict) -> dict:
        return parse(batch["record"]) | {"position": batch["position"]}

    def serialized(epoch: tf.Tensor) -> tf.data.Dataset:
        if shuffle_seed is None:
            return in_file_order
        order = tf.random.experimental.stateless_shuffle(
            tf.range(len(files)), seed=[shuffle_seed, epoch]
        )
        shuffled = tf.gather(tf.constant(files), order), tf.gather(starts, order)
        records = tf.data.Dataset.from_tensor_slices(shuffled).interleave(
            records_of,
            cycle_length=_FILES_AT_ONCE,
            num_parallel_calls=_FILES_AT_ONCE,
            deterministic=True,
        )
        if not tf.executing_eagerly():
            # This function's graph alone. TensorFlow compares a global seed of 0 and the seed below
            # with (0, 0), which a symbolic seed does not allow.
            tf.random.set_seed(1)
        return records.shuffle(min(size, _SHUFFLE_BUFFER), seed=shuffle_seed + epoch * 2**32)

    return ExampleStream(size, cache, in_file_order, serialized, load)
