"""One of several workers that share a dataset: bytes read, speed and memory."""

import contextlib
import itertools
import json
import pathlib
import sys
import time
from collections.abc import Callable, Iterator
from typing import Any, Protocol

from benchmarks.built_dataset import DATASET
from benchmarks.grown_dataset import CONFIG, SPLIT

WAYS = {"ours": "this pipeline", "tfds": "tfds.load()", "grain": "Grain, ArrayRecord"}
_SHUFFLE_BUFFER = 8192


class Reader(Protocol):
    """The interface of a reader: a worker's infinite batches."""

    def batches(self, start: int) -> Iterator:
        """Returns the batches from a step of the first epoch on."""

    def take(self, batches: Iterator, steps: int) -> None:
        """Reads this many batches."""

    def bytes_asked(self, steps: int) -> int | None:
        """Returns the bytes of the records in the first steps; None if unknown."""


class _InGraph:
    """Reads batches like a training loop in the graph."""

    def __init__(self) -> None:
        import tensorflow as tf

        @tf.function
        def take(batches, steps):
            for _ in tf.range(steps):
                next(batches)

        self._take = take

    def take(self, batches: Iterator, steps: int) -> None:
        import tensorflow as tf

        self._take(batches, tf.constant(steps))


class _Ours(_InGraph):
    def __init__(self, data_dir: str, workers: int, worker: int, batch_size: int) -> None:
        import tensorflow as tf

        from trainer.data.example_stream import read_examples
        from trainer.data.opening import open_dataset

        super().__init__()
        self._dataset = open_dataset(f"{DATASET}/{CONFIG}", data_dir)
        self._examples = read_examples(self._dataset, SPLIT, cache="off", shuffle_seed=0)
        self._context = tf.distribute.InputContext(workers, worker, workers)
        self._batch_size = batch_size

    def batches(self, start: int) -> Iterator:
        from trainer.data.input import worker_batches

        global_batch_size = self._batch_size * self._context.num_input_pipelines
        return iter(
            worker_batches(self._examples, global_batch_size, self._context, None, (0, start))
        )

    def bytes_asked(self, steps: int) -> int:
        import numpy as np
        import tensorflow as tf

        workers, worker = self._context.num_input_pipelines, self._context.input_pipeline_id
        places = np.arange(steps)[:, None] * workers + worker
        rows = places * self._batch_size + np.arange(self._batch_size)
        positions = self._examples.positions(tf.constant(rows.ravel()), tf.constant(0, tf.int64))
        return int(self._dataset.index(SPLIT)["length"][positions.numpy()].sum())


class _Tfds(_InGraph):
    def __init__(self, data_dir: str, workers: int, worker: int, batch_size: int) -> None:
        import tensorflow as tf
        import tensorflow_datasets as tfds

        super().__init__()
        context = tf.distribute.InputContext(workers, worker, workers)
        self._examples = tfds.load(
            f"{DATASET}/{CONFIG}", split=SPLIT, data_dir=data_dir, as_supervised=True,
            shuffle_files=True, read_config=tfds.ReadConfig(input_context=context),
        ).shuffle(_SHUFFLE_BUFFER)  # fmt: skip
        self._batch_size = batch_size

    def batches(self, start: int) -> Iterator:
        import tensorflow as tf

        examples = self._examples.repeat().skip(start * self._batch_size)
        return iter(examples.batch(self._batch_size).prefetch(tf.data.AUTOTUNE))

    def bytes_asked(self, steps: int) -> None:
        return None


class _Grain:
    def __init__(self, data_dir: str, workers: int, worker: int, batch_size: int) -> None:
        import grain
        import numpy as np
        from tensorflow_datasets.proto import tf_example_pb2

        def parse(record: bytes) -> dict:
            features = tf_example_pb2.Example.FromString(record).features.feature
            (pixels,) = features["image"].bytes_list.value
            return {
                "image": np.frombuffer(pixels, np.uint8).reshape(224, 224, 1),
                "label": features["label"].int64_list.value[0],
            }

        shards = sorted(map(str, pathlib.Path(data_dir).glob("*/*/*/*.array_record-*")))
        source = grain.sources.ArrayRecordDataSource(shards)
        examples = grain.MapDataset.source(source).shuffle(seed=0)
        self._examples = examples[worker::workers].map(parse)
        self._batch_size = batch_size

    def batches(self, start: int) -> Iterator:
        examples = self._examples[start * self._batch_size :].repeat()
        return iter(examples.to_iter_dataset().batch(self._batch_size))

    def take(self, batches: Iterator, steps: int) -> None:
        for _ in itertools.islice(batches, steps):
            pass

    def bytes_asked(self, steps: int) -> None:
        return None


def _import(way: str) -> Callable[..., Reader]:
    """Imports everything a reader needs."""
    if way == "grain":
        import grain  # noqa: F401
        from tensorflow_datasets.proto import tf_example_pb2  # noqa: F401

        return _Grain
    import tensorflow  # noqa: F401

    if way == "tfds":
        import tensorflow_datasets  # noqa: F401

        return _Tfds
    import trainer.data.input  # noqa: F401

    return _Ours


class Worker:
    """Measurements of one worker; one method each, in the order of their use."""

    def __init__(self, way: str, *, epoch_steps: int, batch_size: int, seconds: float) -> None:
        """Imports what the reader needs.

        Args:
            way: a key of `WAYS`.
            epoch_steps: batches per epoch.
            batch_size: batch size of this worker.
            seconds: minimum duration of a rate's measurement.
        """
        import psutil

        self._make = _import(way)
        self._imported = time.time() - psutil.Process().create_time()
        self._memory_imported = _memory()
        self._steps, self._batch_size, self._seconds = epoch_steps, batch_size, seconds

    def open(self, data_dir: str, workers: int, worker: int) -> dict[str, Any]:
        """Opens the dataset and reads the first batch."""
        self._read_before = _bytes_read()
        started = time.perf_counter()
        self._reader = self._make(data_dir, workers, worker, self._batch_size)
        self._batches = self._reader.batches(0)
        next(self._batches)
        seconds = time.perf_counter() - started
        return {"first_batch_s": seconds, "from_start_s": self._imported + seconds}

    def epoch(self) -> dict[str, Any]:
        """Reads the rest of the first epoch; returns the bytes read from disk since the opening."""
        started = time.perf_counter()
        self._reader.take(self._batches, self._steps - 1)
        return {
            "images_per_second": (self._steps - 1) * self._batch_size
            / (time.perf_counter() - started),
            "bytes_read": _bytes_read() - self._read_before,
        }  # fmt: skip

    def rate(self) -> dict[str, float]:
        """Reads whole epochs until the time is up; returns the rate."""
        steps, started = 0, time.perf_counter()
        while (elapsed := time.perf_counter() - started) < self._seconds:
            self._reader.take(self._batches, self._steps)
            steps += self._steps
        return {"images_per_second": steps * self._batch_size / elapsed}

    def go_on(self) -> dict[str, float]:
        """Reads one batch from the middle of an epoch with a new iterator."""
        started = time.perf_counter()
        next(self._reader.batches(self._steps // 2))
        return {"go_on_s": time.perf_counter() - started}

    def end(self) -> dict[str, Any]:
        """Returns the memory now and after the imports, and the bytes requested by an epoch."""
        return {
            "memory": _memory(),
            "memory_imported": self._memory_imported,
            "bytes_asked": self._reader.bytes_asked(self._steps),
        }


def serve(worker: Worker, *opening: Any) -> None:
    """Calls a worker's methods named by the lines of standard input."""
    for line in sys.stdin:
        method = line.strip()
        with contextlib.redirect_stdout(sys.stderr):
            found = getattr(worker, method)(*opening if method == "open" else ())
        print(json.dumps(found), flush=True)


def _bytes_read() -> int:
    """Returns the bytes read from disk for this process, including read-ahead."""
    import psutil

    return psutil.Process().io_counters().read_bytes


def _memory() -> dict[str, int]:
    """Returns the resident bytes of this process, from /proc's smaps_rollup.

    Returns:
        `anonymous`, not shared with other processes; `file_backed`, shared in the page cache,
        including code; `private` and `shared`: whether another process has touched the page; `pss`,
        pages divided by the number of processes that touched them; and `page_tables`, which are in
        none of the others.
    """
    fields = {}
    for name in ("smaps_rollup", "status"):
        for line in pathlib.Path("/proc/self", name).read_text().splitlines():
            key, _, value = line.partition(":")
            if value.endswith(" kB"):
                fields[key] = int(value.split()[0]) * 1024
    return {
        "anonymous": fields["Anonymous"],
        "file_backed": fields["Rss"] - fields["Anonymous"],
        "private": fields["Private_Clean"] + fields["Private_Dirty"],
        "shared": fields["Shared_Clean"] + fields["Shared_Dirty"],
        "pss": fields["Pss"],
        "page_tables": fields["VmPTE"],
    }
