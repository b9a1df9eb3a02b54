import dataclasses
import errno

import numpy as np
import psutil
import pytest
import tensorflow as tf

from tests.conftest import global_batch, one_device, two_replicas
from trainer.data import augment
from trainer.data.dataset import BuiltDataset
from trainer.data.example_stream import ExampleStream, read_examples
from trainer.data.input import distribute_batches, worker_batches
from trainer.data.mapped_files import MappedFiles, map_files

BATCH = 16


def records(dataset, split):
    """A split's examples in the order of its files, read with no part of the trainer."""
    for record in tf.data.TFRecordDataset(dataset.files(split)).as_numpy_iterator():
        feature = tf.train.Example.FromString(record).features.feature
        pixels = np.frombuffer(feature["image"].bytes_list.value[0], np.uint8)
        yield (
            feature["id"].bytes_list.value[0],
            feature["label"].int64_list.value[0],
            pixels.reshape(dataset.image_shape),
        )


def names(dataset, split):
    """Pixels to id: the batches on the devices have no ids."""
    found = {pixels.tobytes(): example_id for example_id, _, pixels in records(dataset, split)}
    assert len(found) == dataset.num_examples(split), "two examples have the same pixels"
    return found


def epochs(dataset, strategy, count, *, split="train", on_hosts=False, seed=0, **kwargs):
    """The rows of `count` epochs, each a list of global batches."""
    examples = read_examples(dataset, split, cache="off", shuffle_seed=seed, on_hosts=on_hosts)
    batches = iter(distribute_batches(examples, strategy, BATCH, **kwargs))
    steps = examples.steps_per_epoch(BATCH)
    return [[global_batch(strategy, next(batches)) for _ in range(steps)] for _ in range(count)]


def order(dataset, epoch, split="train"):
    """Ids of an epoch's examples, without the rows that fill the last batch."""
    of_pixels = names(dataset, split)
    return [
        of_pixels[image.tobytes()]
        for batch in epoch
        for image, weight in zip(batch["image"], batch["weight"], strict=True)
        if weight
    ]


@dataclasses.dataclass(frozen=True)
class Sharded(BuiltDataset):
    """A dataset whose training split lies in several files."""

    paths: tuple[str, ...]
    lengths: tuple[int, ...]

    def _paths(self, split):
        assert split == "train"
        return list(self.paths)

    def shard_lengths(self, split):
        return list(self.lengths)


@pytest.fixture
def sharded(dataset, tmp_path):
    content = list(tf.data.TFRecordDataset(dataset.files("train")).as_numpy_iterator())
    paths, lengths = [], []
    for shard, part in enumerate(np.array_split(np.array(content, object), 3)):
        lengths.append(len(part))
        paths.append(str(tmp_path / f"shard-{shard}"))
        with tf.io.TFRecordWriter(paths[-1]) as writer:
            for record in part:
                writer.write(record)
    fields = {f.name: getattr(dataset, f.name) for f in dataclasses.fields(BuiltDataset)}
    return Sharded(**fields, paths=tuple(paths), lengths=tuple(lengths))


@pytest.mark.parametrize("on_hosts", [False, True])
@pytest.mark.parametrize("split", ["train", "test"])
def test_one_pass_gives_each_example_once_as_the_records_hold_it(dataset, split, on_hosts):
    examples = read_examples(dataset, split, cache="off", on_hosts=on_hosts, shuffle_seed=None)
    batches = list(examples.one_pass(4).as_numpy_iterator())
    expected = list(records(dataset, split))
    assert examples.size == len(expected) == dataset.num_examples(split)
    for key, column in zip(("id", "label", "image"), zip(*expected, strict=True), strict=True):
        found = np.concatenate([batch[key] for batch in batches])
        np.testing.assert_array_equal(found, np.array(column), err_msg=key)
    assert batches[0]["image"].dtype == np.uint8


@pytest.mark.parametrize("on_hosts", [False, True])
def test_one_pass_keeps_the_order_of_several_files(sharded, on_hosts):
    examples = read_examples(sharded, "train", cache="off", on_hosts=on_hosts, shuffle_seed=None)
    found = [name for batch in examples.one_pass(5).as_numpy_iterator() for name in batch["id"]]
    assert found == [example_id for example_id, _, _ in records(sharded, "train")]


@pytest.mark.parametrize("on_hosts", [False, True])
def test_each_example_tells_its_position_in_the_order_of_the_files(sharded, on_hosts):
    in_order = [name for name, *_ in records(sharded, "train")]
    examples = read_examples(sharded, "train", cache="off", on_hosts=on_hosts, shuffle_seed=4)
    for epoch in (0, 1):
        rows = tf.range(examples.size, dtype=tf.int64)
        batch = examples.load(examples.positions(rows, tf.constant(epoch, tf.int64)))
        positions, names = batch["position"].numpy(), batch["id"].numpy()
        assert sorted(positions) == list(range(len(in_order)))
        assert list(positions) != sorted(positions)
        assert [in_order[position] for position in positions] == list(names)


@pytest.mark.parametrize("on_hosts", [False, True])
def test_an_epoch_of_several_files_gives_each_example_once(sharded, on_hosts):
    (epoch,) = epochs(sharded, one_device(), 1, on_hosts=on_hosts)
    assert sorted(order(sharded, epoch)) == sorted(id_ for id_, _, _ in records(sharded, "train"))


@pytest.mark.parametrize("on_hosts", [False, True])
@pytest.mark.parametrize("split", ["train", "test"])
def test_every_epoch_weighs_each_example_once_and_filling_rows_not_at_all(dataset, split, on_hosts):
    size = dataset.num_examples(split)
    assert size % BATCH, "no batch has to be filled"
    label_of = {example_id: label for example_id, label, _ in records(dataset, split)}
    of_pixels = names(dataset, split)
    for epoch in epochs(dataset, two_replicas(), 2, split=split, on_hosts=on_hosts):
        assert sorted(order(dataset, epoch, split)) == sorted(label_of)
        weights = np.concatenate([batch["weight"] for batch in epoch])
        assert set(weights) == {0.0, 1.0}
        assert weights.sum() == size
        for batch in epoch:
            assert batch["image"].shape == (BATCH, 224, 224, 1)
            found = [label_of[of_pixels[image.tobytes()]] for image in batch["image"]]
            np.testing.assert_array_equal(batch["label"], found)


def test_batches_have_a_static_shape(dataset):
    examples = read_examples(dataset, "train", cache="auto", shuffle_seed=0)
    spec = distribute_batches(examples, one_device(), BATCH, augment_seed=0).element_spec
    assert {key: (tuple(value.shape), value.dtype) for key, value in spec.items()} == {
        "image": ((BATCH, 224, 224, 1), tf.uint8),
        "label": ((BATCH,), tf.int64),
        "weight": ((BATCH,), tf.float32),
        "draws": ((BATCH, augment.NUM_DRAWS), tf.float32),
    }


@pytest.mark.parametrize("on_hosts", [False, True])
def test_the_order_is_another_in_each_epoch_and_for_each_seed_but_repeatable(dataset, on_hosts):
    first, second = (order(dataset, e) for e in epochs(dataset, one_device(), 2, on_hosts=on_hosts))
    assert first != second
    again = epochs(dataset, one_device(), 2, on_hosts=on_hosts)
    assert [order(dataset, epoch) for epoch in again] == [first, second]
    (other,) = epochs(dataset, one_device(), 1, on_hosts=on_hosts, seed=1)
    assert order(dataset, other) != first


@pytest.mark.parametrize("on_hosts", [False, True])
def test_the_global_batch_is_the_same_on_one_device_and_on_two_replicas(dataset, on_hosts):
    one, two = (
        epochs(dataset, strategy, 2, on_hosts=on_hosts, augment_seed=5)
        for strategy in (one_device(), two_replicas())
    )
    for batch, other in zip(sum(one, []), sum(two, []), strict=True):
        for key in ("image", "label", "weight", "draws"):
            np.testing.assert_array_equal(batch[key], other[key], err_msg=key)


@pytest.mark.parametrize("first_step", [0, 2])
@pytest.mark.parametrize(("workers", "replicas"), [(2, 4), (3, 3), (4, 4)])
def test_workers_share_each_global_batch_and_take_as_many_steps(
    dataset, workers, replicas, first_step
):
    examples, size = read_examples(dataset, "train", cache="off", shuffle_seed=0), 12

    def replica_batches(worker, workers):
        context = tf.distribute.InputContext(workers, worker, replicas)
        batches = worker_batches(examples, size, context, 5, (1, first_step))
        count = 2 * examples.steps_per_epoch(size) * replicas // workers
        return list(batches.take(count).as_numpy_iterator())

    alone = replica_batches(0, 1)
    of_workers = [replica_batches(worker, workers) for worker in range(workers)]
    here = replicas // workers
    assert {len(part) for part in of_workers} == {len(alone) // workers}
    for step in range(len(alone) // replicas):
        shared = [batch for part in of_workers for batch in part[here * step :][:here]]
        for batch, other in zip(shared, alone[replicas * step :][:replicas], strict=True):
            for key in ("image", "label", "weight", "draws"):
                np.testing.assert_array_equal(batch[key], other[key], err_msg=key)


@pytest.mark.parametrize("workers", [2, 3, 4])
def test_each_worker_asks_for_the_examples_of_its_own_batches_alone(dataset, workers):
    examples = read_examples(dataset, "train", cache="off", shuffle_seed=0)
    of_positions = dataclasses.replace(
        examples, load=lambda positions: {"id": tf.strings.as_string(positions), "at": positions}
    )
    steps, asked = examples.steps_per_epoch(12), []
    for worker in range(workers):
        context = tf.distribute.InputContext(workers, worker, workers)
        batches = worker_batches(of_positions, 12, context, None, (3, 0)).take(steps)
        asked.append(
            np.concatenate([b["at"][b["weight"] > 0] for b in batches.as_numpy_iterator()])
        )
    assert sorted(np.concatenate(asked)) == list(range(examples.size))
    # The last batch may be empty for all but the first.
    assert max(map(len, asked)) - min(map(len, asked)) <= 12 // workers


@pytest.mark.parametrize("on_hosts", [False, True])
def test_a_run_that_goes_on_sees_the_epochs_that_it_would_have_seen(dataset, on_hosts):
    *_, third, fourth = epochs(dataset, one_device(), 4, on_hosts=on_hosts, augment_seed=5)
    resumed = epochs(dataset, one_device(), 2, on_hosts=on_hosts, augment_seed=5, start=(2, 0))
    for batch, other in zip(third + fourth, sum(resumed, []), strict=True):
        for key in ("image", "weight", "draws"):
            np.testing.assert_array_equal(batch[key], other[key], err_msg=key)


def test_the_draws_are_those_of_the_examples_in_the_epoch(dataset):
    of_pixels = names(dataset, "train")
    for number, epoch in enumerate(epochs(dataset, two_replicas(), 2, augment_seed=5)):
        for batch in epoch:
            ids = [of_pixels[image.tobytes()] for image in batch["image"]]
            expected = augment.uniform_draws(tf.constant(ids), 5, tf.constant(number))
            np.testing.assert_array_equal(batch["draws"], expected)


def test_files_that_outgrow_the_memory_are_read_in_ranges(dataset, monkeypatch, caplog):
    expected = epochs(dataset, one_device(), 1)
    memory = psutil.virtual_memory()._replace(available=1000)
    monkeypatch.setattr("psutil.virtual_memory", lambda: memory)
    caplog.set_level("INFO")
    found = epochs(dataset, one_device(), 1)
    assert "files of train: read in ranges, as they have 2 MB and 0 MB" in caplog.text
    for batch, other in zip(sum(found, []), sum(expected, []), strict=True):
        np.testing.assert_array_equal(batch["image"], other["image"])


def test_files_that_cannot_be_mapped_are_read_in_ranges(sharded, monkeypatch, caplog):
    def refuse(*_):
        raise OSError(errno.ENODEV, "No such device")

    expected = epochs(sharded, one_device(), 1, augment_seed=5)
    monkeypatch.setattr("trainer.data.mapped_files._map", refuse)
    monkeypatch.setattr(
        "trainer.data.mapped_files._mapped", lambda paths, versions: MappedFiles(paths)
    )
    caplog.set_level("INFO")
    found = epochs(sharded, one_device(), 1, augment_seed=5)
    assert "read in ranges, as they cannot be mapped" in caplog.text
    for batch, other in zip(sum(found, []), sum(expected, []), strict=True):
        np.testing.assert_array_equal(batch["image"], other["image"])


def anonymous_memory():
    memory = psutil.Process().memory_info()
    return memory.rss - memory.shared


@pytest.mark.parametrize("one_pass", [False, True])
def test_no_iterator_copies_the_mapped_files(tmp_path, one_pass):
    size, image = 1 << 29, 64 * 64
    with (tmp_path / "sparse").open("wb") as file:
        file.truncate(size)
    files = map_files([str(tmp_path / "sparse")])
    examples = ExampleStream(
        np.zeros(64, np.int64),
        lambda positions: {
            "image": files.rows(positions * image, image),
            "id": tf.strings.as_string(positions),
        },
    )
    before = anonymous_memory()
    if one_pass:
        batches = iter(examples.one_pass(4))
    else:
        batches = iter(worker_batches(examples, 4, tf.distribute.InputContext(), None, (0, 0)))
    assert not next(batches)["image"].numpy().any()
    assert anonymous_memory() - before < size / 4
