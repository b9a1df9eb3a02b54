"""The input pipeline: shards of a built dataset to uint8 batches, one for each replica and step.

A batch is a function of its number: the number gives epoch and step, these with the seed the
positions of its examples, and the index of records where their bytes lie. Each worker makes its own
batches and reads nothing else, and a training goes on anywhere at no cost. An epoch is
`steps_per_epoch` global batches; where the last one is not full it is filled with examples that
weigh nothing, so shapes are static, as XLA wants them, and every example counts exactly once.
"""

import os
from collections.abc import Callable, Sequence

import tensorflow as tf

from trainer.data import augment
from trainer.data.data_service import load_on_hosts
from trainer.data.device_buffers import disable_autotuner
from trainer.data.example_stream import ExampleStream

# Batches of each replica that wait loaded: enough to cover a slow read, few enough to hold.
_BATCHES_AHEAD = 8
# The key of the time at which a batch was loaded.
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
    """Endless epochs of batches, each replica's prefetched to its device.

    The replicas' batches are consecutive slices of the global batch, so the global batch is the
    same whatever the number of replicas and of workers.

    Args:
        examples: what `read_examples` returned.
        strategy: the strategy that will consume the batches.
        global_batch_size: a multiple of the number of replicas.
        augment_seed: seed of the draws for augmentation; None makes none.
        change_batch: changes each replica's batch, on the host, one after the other.
        start: the epoch, and the step of it, to start with.
        data_hosts: `HOST:PORT` of the data hosts that load the batches; none: they are loaded here.
        timed: whether batches tell when they were loaded; a deterministic TensorFlow refuses to
            read the clock.

    Returns:
        A dataset of dictionaries: `image` `[b, H, W, C] uint8`, `label` `[b] int64`,
        `weight` `[b] float32` (0 for filling rows), with a seed `draws` `[b, NUM_DRAWS] float32`
        and, if timed, `loaded_at`, what `read_clock` gave then; b is the batch of one replica.
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
    """The first batch of training again and again, which costs nothing to load after the first.

    Args:
        examples: as of `distribute_batches`, as all others.
        strategy: of one replica.
        batch_size: of that replica.
        augment_seed: likewise.
        change_batch: likewise.
        timed: likewise.
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
    load = _loader(examples, global_batch_size, context, augment_seed)
    steps = examples.steps_per_epoch(global_batch_size)
    first_epoch, first_step = start
    # An endless dataset spares tf.distribute its handling of partial batches, which would put a
    # conditional and dynamic shapes in front of every step.
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
    """Loads a batch of this worker, by its number since the first step of the first epoch."""
    batch_size = context.get_per_replica_batch_size(global_batch_size)
    steps = examples.steps_per_epoch(global_batch_size)
    replicas, replicas_here = context.num_replicas_in_sync, _replicas_here(context)
    first_replica = context.input_pipeline_id * replicas_here

    @tf.autograph.experimental.do_not_convert  # Nothing is to be converted, which takes a while.
    def load(number: tf.Tensor) -> dict[str, tf.Tensor]:
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

    return load


def _options() -> tf.data.Options:
    options = tf.data.Options()
    # The order is a promise: an interrupted run goes on with it, and replicas and workers share it.
    options.deterministic = True
    # Of their own, so that no batch queues behind the operations of the step.
    options.threading.private_threadpool_size = os.cpu_count()
    # The buffers are fixed and need no memory budget. The autotuner's thread keeps an iterator from
    # closing for a minute or more at a run's end.
    options.autotune.enabled = False
    return options


def _with_time(batch: dict) -> dict:
    return batch | {LOADED_AT: read_clock(list(batch.values()))}


def read_clock(after: Sequence[tf.Tensor] = ()) -> tf.Tensor:
    """Microseconds on this machine's clock once tensors are known, an int64 scalar."""
    with tf.control_dependencies(after):
        return tf.cast(tf.timestamp() * 1e6, tf.int64)
