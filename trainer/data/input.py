"""The input pipeline: from a dataset's shards to uint8 batches, one per replica and step.

A batch is a pure function of its number: the number determines epoch and step, which with the seed
determine the positions of its examples; the record index maps these to bytes. Each worker reads
only its own batches, and a training resumes at any step without skipping data. An epoch has
`steps_per_epoch` global batches. An incomplete last batch is padded with examples of weight 0, so
shapes are static, as XLA requires, and every example counts exactly once.
"""

import os
from collections.abc import Callable, Sequence

import tensorflow as tf

from trainer.data import augment
from trainer.data.data_service import load_on_hosts
from trainer.data.device_buffers import disable_autotuner
from trainer.data.example_stream import ExampleStream

# Prefetched batches per replica: enough to hide a slow read, few enough to fit in memory.
_BATCHES_AHEAD = 8
# Key of the time at which a batch was loaded.
LOADED_AT = "loaded_at"

ChangeBatch = Callable[[dict[str, tf.Tensor]], dict[str, tf.Tensor]]


def distribute_batches(
    examples: ExampleStream,
    strategy: tf.distribute.Strategy,
    global_batch_size: int,
    *,
    augment_seed: int | None = None,
    change_batch: ChangeBatch | None = None,
    start: tuple[int, int] = (0, 0),
    data_hosts: Sequence[str] = (),
    timed: bool = False,
) -> tf.distribute.DistributedDataset | tf.data.Dataset:
    """Returns an infinite sequence of batches, prefetched to each replica's device.

    The replicas' batches are consecutive slices of the global batch, so the global batch does not
    depend on the number of replicas or workers.

    Args:
        examples: the examples returned by `read_examples`.
        strategy: the strategy that will consume the batches.
        global_batch_size: a multiple of the number of replicas.
        augment_seed: seed of the draws for augmentation; None: no draws.
        change_batch: function applied to each replica's batch on the host, sequentially.
        start: epoch and step within it to start from.
        data_hosts: `HOST:PORT` of the data hosts that load the batches; empty: load locally.
        timed: whether batches contain the time at which they were loaded; not allowed with
            deterministic operations, which cannot read the clock.

    Returns:
        A dataset of dictionaries: `image` `[b, H, W, C] uint8`, `label` `[b] int64`, `weight`
        `[b] float32` (0 for padding), `draws` `[b, NUM_DRAWS] float32` if there is a seed and, if
        timed, `loaded_at` as returned by `read_clock`; b is the batch size of one replica.
    """

    def replica_batches(context: tf.distribute.InputContext) -> tf.data.Dataset:
        return worker_batches(
            examples, global_batch_size, context, augment_seed, start, change_batch, data_hosts,
            timed,
        )  # fmt: skip

    return _distributed(replica_batches, strategy)


def repeat_first_batch(
    examples: ExampleStream,
    strategy: tf.distribute.Strategy,
    batch_size: int,
    augment_seed: int,
    change_batch: ChangeBatch | None = None,
    *,
    timed: bool = False,
) -> tf.distribute.DistributedDataset | tf.data.Dataset:
    """Repeats the first training batch, which costs nothing to load after the first time.

    Args:
        examples: as of `distribute_batches`.
        strategy: a strategy with one replica.
        batch_size: batch size of that replica.
        augment_seed: as of `distribute_batches`.
        change_batch: as of `distribute_batches`.
        timed: as of `distribute_batches`.
    """

    def same_batch(context: tf.distribute.InputContext) -> tf.data.Dataset:
        batches = worker_batches(
            examples, batch_size, context, augment_seed, (0, 0), change_batch, timed=timed
        )
        return batches.take(1).cache().repeat()

    return _distributed(same_batch, strategy)


def _distributed(
    replica_batches: Callable[[tf.distribute.InputContext], tf.data.Dataset],
    strategy: tf.distribute.Strategy,
) -> tf.distribute.DistributedDataset | tf.data.Dataset:
    if _is_one_cpu(strategy):
        # The batches are created on the device that uses them: the buffer in front of each device
        # would cost as much as loading a batch of 16.
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
    """Returns the first training batch, undistributed: the first one of `distribute_batches`."""
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
    """Returns the infinite batches of one worker, undistributed: for each step, one per replica.

    Args:
        examples: as of `distribute_batches`.
        global_batch_size: as of `distribute_batches`.
        context: index of the worker, number of workers, and total number of replicas.
        augment_seed: as of `distribute_batches`.
        start: epoch and step within it to start from.
        change_batch: as of `distribute_batches`.
        data_hosts: as of `distribute_batches`.
        timed: as of `distribute_batches`.
    """
    load = _loader(examples, global_batch_size, context, augment_seed)
    steps = examples.steps_per_epoch(global_batch_size)
    first_epoch, first_step = start
    # With an infinite dataset, tf.distribute skips its handling of partial batches, which would add
    # a conditional and dynamic shapes to every step.
    numbers = tf.data.Dataset.range(
        (first_epoch * steps + first_step) * _replicas_here(context), tf.int64.max
    )
    numbers = numbers.apply(tf.data.experimental.assert_cardinality(tf.data.INFINITE_CARDINALITY))

    def load_all(batches: tf.data.Dataset) -> tf.data.Dataset:
        return batches.map(load, num_parallel_calls=os.cpu_count(), deterministic=True)

    dataset = load_on_hosts(numbers, load_all, data_hosts) if data_hosts else load_all(numbers)
    if change_batch:
        dataset = dataset.map(change_batch)
    if timed:
        dataset = dataset.map(_with_time)
    return dataset.prefetch(_BATCHES_AHEAD).with_options(_options())


def _replicas_here(context: tf.distribute.InputContext) -> int:
    return context.num_replicas_in_sync // context.num_input_pipelines


def _loader(
    examples: ExampleStream,
    global_batch_size: int,
    context: tf.distribute.InputContext,
    augment_seed: int | None,
) -> Callable[[tf.Tensor], dict[str, tf.Tensor]]:
    """Returns a loader of this worker's batches by their number, counted from the first epoch."""
    batch_size = context.get_per_replica_batch_size(global_batch_size)
    steps = examples.steps_per_epoch(global_batch_size)
    replicas, replicas_here = context.num_replicas_in_sync, _replicas_here(context)
    first_replica = context.input_pipeline_id * replicas_here

    @tf.autograph.experimental.do_not_convert  # Nothing to convert, and trying takes a while.
    def load(number: tf.Tensor) -> dict[str, tf.Tensor]:
        step, replica = number // replicas_here, first_replica + number % replicas_here
        epoch = step // steps
        first = (step % steps * replicas + replica) * batch_size
        rows = first + tf.range(batch_size, dtype=tf.int64)
        batch = examples.load(examples.positions(rows, epoch))
        batch["weight"] = tf.cast(rows < examples.size, tf.float32)
        # Strings cannot enter a compiled function; ids are only needed for the draws.
        ids = batch.pop("id")
        if augment_seed is not None:
            batch["draws"] = augment.uniform_draws(ids, augment_seed, epoch)
        if examples.finish:
            return examples.finish(batch)
        batch.pop("position", None)
        return batch

    return load


def _options() -> tf.data.Options:
    options = tf.data.Options()
    # The order must be deterministic: an interrupted run continues it, and all replicas share it.
    options.deterministic = True
    # A private thread pool, so that no batch queues behind the operations of the step.
    options.threading.private_threadpool_size = os.cpu_count()
    # Fixed buffers need no memory budget. The autotuner's thread would keep an iterator from
    # closing for a minute or more at the end of a run.
    options.autotune.enabled = False
    return options


def _with_time(batch: dict) -> dict:
    return batch | {LOADED_AT: read_clock(list(batch.values()))}


def read_clock(after: Sequence[tf.Tensor] = ()) -> tf.Tensor:
    """Reads this machine's clock, in microseconds, once tensors are computed; an int64 scalar."""
    with tf.control_dependencies(after):
        return tf.cast(tf.timestamp() * 1e6, tf.int64)
