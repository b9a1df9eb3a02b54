"""Scaling of the input: 1, 10 and 100 times the images, read by 1, 2, 4 and 8 workers.

Usage:

    python -m benchmarks.input_growth [--data_dir=DATA] [--factors=1,10,100] [--workers=1,2,4,8]

DATA holds covid19_radiography/224x224; without it, phantom radiographs are drawn and built. Its
training images are repeated on disk with other ids, an index and digests; these files are removed
at the end. Sizes that do not fit on the disk are reported and skipped. Grain is included if it is
installed; it reads ArrayRecord, which is written after the others have finished.

A worker is a process on this machine with its own batches, all of one size.

asked     bytes of the records in one worker's epoch, according to the index, as a share of all
read      bytes read from disk for the first worker until the end of its epoch, as a share of all
          shards; before it starts, the shards are dropped from the page cache
cold/s    images per second of that epoch, without the first batch
alone/s   images per second of one worker while the others are idle, with all files in memory
sum/s     images per second of all workers together, which share this machine's processors
first     seconds to the first batch, from the end of the imports and from the start of the process;
          the digests are known, and the others are idle
go on     seconds to the first batch of a new iterator in the middle of an epoch
adds      anonymous memory of the last worker beyond that of a process that has imported everything
          and read nothing, in MB and as a share of all shards; mapped files are in the page cache,
          shared by all workers
"""

import importlib.util
import json
import pathlib
import tempfile
from collections.abc import Callable
from typing import Any

from absl import flags

from benchmarks.built_dataset import built, define_dataset_flags
from benchmarks.choice import define_choice
from benchmarks.grown_dataset import CONFIG, GrownDataset, grown, lacking_room
from benchmarks.input_worker import WAYS, Worker, serve
from benchmarks.machine import describe
from benchmarks.paired import Contestant
from cxr_command.record_index import ARRAY_RECORD, TFRECORD
from cxr_command.runner import Command

_FORMATS = {TFRECORD: ("ours", "tfds"), ARRAY_RECORD: ("grain",)}

# Starts worker number i.
Start = Callable[[int], Contestant]


def _starter(way: str, workers: int, dataset: GrownDataset, cache: pathlib.Path) -> Start:
    options = flags.FLAGS
    epoch_steps = -(-dataset.images // (options.batch_size * workers))

    def start(worker: int) -> Contestant:
        return Contestant(
            "benchmarks.input_growth",
            [f"--serve={way}", f"--workers={workers}", f"--worker={worker}",
             f"--data_dir={dataset.data_dir}", f"--epoch_steps={epoch_steps}",
             f"--batch_size={options.batch_size}", f"--seconds={options.seconds}"],
            {"CXR_CACHE_DIR": str(cache)},
        )  # fmt: skip

    return start


def _ask(contestant: Contestant, work: str) -> Any:
    contestant.order(work)
    return contestant.answer()


def _ask_all(contestants: list[Contestant], work: str) -> list[Any]:
    """Lets all contestants work at the same time."""
    for contestant in contestants:
        contestant.order(work)
    return [contestant.answer() for contestant in contestants]


def _measure_cold(start: Start, dataset: GrownDataset) -> dict[str, float]:
    """Measures the first worker's epoch, with nothing in the page cache."""
    dataset.leave_memory()
    worker = start(0)
    try:
        _ask(worker, "open")
        found = _ask(worker, "epoch")
    finally:
        worker.end()
    return {
        "cold_images_per_second": found["images_per_second"],
        "bytes_read": found["bytes_read"],
        "read": found["bytes_read"] / dataset.size,
    }


def _measure_warm(start: Start, dataset: GrownDataset, workers: int) -> dict[str, Any]:
    """Measures workers with all files in memory."""
    dataset.enter_memory()
    started = []
    try:
        for number in range(workers):
            started.append(start(number))
            opened = _ask(started[-1], "open")
        alone = _ask(started[0], "rate")
        rates = [each["images_per_second"] for each in _ask_all(started, "rate")]
        gone_on = _ask(started[-1], "go_on")
        ends = _ask_all(started, "end")
    finally:
        for worker in started:
            worker.end()
    added = ends[-1]["memory"]["anonymous"] - ends[-1]["memory_imported"]["anonymous"]
    asked = [end["bytes_asked"] for end in ends]
    return opened | gone_on | {
        "images_per_second_alone": alone["images_per_second"],
        "images_per_second_of_each": rates,
        "images_per_second": sum(rates),
        "bytes_asked_by_each": asked,
        "asked": None if None in asked else max(asked) / dataset.size,
        "memory": ends,
        "bytes_added": added,
        "added": added / dataset.size,
    }  # fmt: skip


_COLUMNS = (
    ("asked", "asked", ".3f"), ("read", "read", ".3f"),
    ("cold/s", "cold_images_per_second", ",.0f"), ("alone/s", "images_per_second_alone", ",.0f"),
    ("sum/s", "images_per_second", ",.0f"), ("first", "first_batch_s", ".2f"),
    ("from start", "from_start_s", ".2f"), ("go on", "go_on_s", ".3f"),
    ("adds MB", "megabytes_added", ",.0f"), ("share", "added", ".3f"),
)  # fmt: skip


def _print_row(row: dict[str, Any]) -> None:
    shown = row | {"megabytes_added": row["bytes_added"] / 1e6}
    cells = (
        "-" if shown[name] is None else format(shown[name], form) for _, name, form in _COLUMNS
    )
    print(f"{WAYS[row['way']]:20}{row['workers']:8}" + "".join(f"{cell:>11}" for cell in cells),
          flush=True)  # fmt: skip


def _measure(
    ways: list[str], file_format: str, factor: int, data_dir: str, directory: str
) -> list[dict[str, Any]]:
    """Measures the readers of one format and size, with each number of workers."""
    options = flags.FLAGS
    rows = []
    with (
        grown(data_dir, factor, options.images_per_shard, file_format, directory) as dataset,
        tempfile.TemporaryDirectory() as cache,
    ):
        print(
            f"{factor} x: {dataset.images:,} images, {dataset.size / 1e9:.2f} GB in "
            f"{len(dataset.files)} files of {options.images_per_shard} images, {file_format}"
        )
        print(f"{'':20}{'workers':>8}" + "".join(f"{title:>11}" for title, *_ in _COLUMNS))
        for way in ways:
            for workers in map(int, options.workers):
                start = _starter(way, workers, dataset, pathlib.Path(cache))
                row = {
                    "factor": factor, "images": dataset.images, "bytes": dataset.size,
                    "files": len(dataset.files), "way": way, "workers": workers,
                    **_measure_cold(start, dataset), **_measure_warm(start, dataset, workers),
                }  # fmt: skip
                _print_row(row)
                rows.append(row)
    return rows


def _define_flags() -> None:
    define_dataset_flags()
    define_choice("ways", WAYS, "Which ways.")
    flags.DEFINE_list("factors", ["1", "10", "100"], "Multiples of the dataset's size.")
    flags.DEFINE_list("workers", ["1", "2", "4", "8"], "Numbers of workers.")
    flags.DEFINE_integer("batch_size", 16, "Batch size of each worker.", lower_bound=1)
    flags.DEFINE_integer("images_per_shard", 280, "Images in a file.", lower_bound=1)
    flags.DEFINE_float("seconds", 2.0, "Shortest time for a rate.", lower_bound=0.01)
    flags.DEFINE_string("directory", None, "Temporary directory of the files.")
    flags.DEFINE_enum("serve", None, list(WAYS), "Be a worker that reads in this way.")
    flags.DEFINE_integer("worker", 0, "Which one, with --serve.")
    flags.DEFINE_integer("epoch_steps", 1, "Its batches in an epoch, with --serve.")


def _main() -> None:
    options = flags.FLAGS
    if options.serve:
        worker = Worker(
            options.serve, epoch_steps=options.epoch_steps, batch_size=options.batch_size,
            seconds=options.seconds,
        )  # fmt: skip
        serve(worker, options.data_dir, int(options.workers[0]), options.worker)
        return
    ways = [way for way in WAYS if way in options.ways]
    if "grain" in ways and not importlib.util.find_spec("grain"):
        print("Grain is not installed: skipped")
        ways.remove("grain")
    directory = options.directory or tempfile.gettempdir()
    rows = []
    with built([CONFIG]) as (data_dir, _):
        for factor in map(int, options.factors):
            for file_format, readers in _FORMATS.items():
                if not (chosen := [way for way in ways if way in readers]):
                    continue
                if told := lacking_room(directory, data_dir, factor):
                    print(f"{factor} x is skipped: {told}")
                    break
                rows += _measure(chosen, file_format, factor, data_dir, directory)
    print(f"batches of {options.batch_size} for each worker")
    print(json.dumps({"benchmark": "input_growth", "machine": describe(),
                      "batch_size": options.batch_size, "rows": rows}))  # fmt: skip


if __name__ == "__main__":
    Command(_main, _define_flags).run()
