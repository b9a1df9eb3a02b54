"""Throughput of the input pipeline compared with common alternatives.

Usage:

    python -m benchmarks.input_pipeline [--data_dir=DATA --manual_dir=KAGGLE] [--batch_size=16]

DATA holds covid19_radiography/224x224 and covid19_radiography/full, both built from KAGGLE. Without
them, phantom radiographs are drawn and built. All alternatives produce batches of the training
split's images in shuffled order, which are discarded.

`first epoch` opens the dataset, whose files are in the page cache, and serves one epoch. The
roofline copies batches of consecutive images from one array in memory, as shuffled batches must be
copied, too; `views` is the same without the copy, a limit that no shuffling pipeline can reach.
"""

import contextlib
import importlib.util
import json
import os
import pathlib
import statistics
import sys
import time
from collections.abc import Callable

from absl import flags

from benchmarks.choice import define_choice
from benchmarks.machine import describe
from benchmarks.paired import Contestant, alternate, ratio, serve
from benchmarks.radiographs import DATASET, both_forms
from benchmarks.radiographs import define_flags as define_radiographs_flags
from cxr_command.runner import Command

_WAYS = {
    "records": "this pipeline",
    "first": "this pipeline, first epoch",
    "png": "this pipeline, PNG of `full`",
    "decoded": "this pipeline, `full` decoded once",
    "generator": "Keras ImageDataGenerator",
    "directory": "image_dataset_from_directory",
    "tfds": "tfds.load().map().batch()",
    "torch": "PyTorch DataLoader",
    "roofline": "roofline: slices of an array",
    "views": "views of an array",
}
_SIZE = (224, 224)


def _work(way: str, data_dir: str, folder: str, batch_size: int, seconds: float) -> Callable:
    """Returns a function that reads batches for a time and returns images per second."""
    if way == "first":
        return lambda: _first_epoch(data_dir, batch_size)
    prepare = {
        "records": lambda: _ours(data_dir, "224x224", "off", batch_size),
        "png": lambda: _ours(data_dir, "full", "off", batch_size),
        "decoded": lambda: _ours(data_dir, "full", "disk", batch_size),
        "generator": lambda: _generator(folder, batch_size),
        "directory": lambda: _directory(folder, batch_size),
        "tfds": lambda: _tfds(data_dir, batch_size),
        "torch": lambda: _torch(folder, batch_size),
        "roofline": lambda: _array(data_dir, batch_size, copied=True),
        "views": lambda: _array(data_dir, batch_size, copied=False),
    }
    # Keras would print the number of files among the rates.
    with contextlib.redirect_stdout(sys.stderr):
        take_some = prepare[way]()

    def images_per_second() -> float:
        images, started = 0, time.perf_counter()
        while (elapsed := time.perf_counter() - started) < seconds:
            images += take_some()
        return images / elapsed

    return images_per_second


def _examples(data_dir: str, config: str, cache: str):
    from trainer.data.example_stream import read_examples
    from trainer.data.opening import open_dataset

    dataset = open_dataset(f"{DATASET}/{config}", data_dir)
    return read_examples(dataset, "train", cache=cache, shuffle_seed=0)


def _batches(examples, batch_size: int):
    import tensorflow as tf

    from trainer.data.input import distribute_batches

    strategy = tf.distribute.OneDeviceStrategy("/cpu:0")
    return iter(distribute_batches(examples, strategy, batch_size, augment_seed=0))


def _ours(data_dir: str, config: str, cache: str, batch_size: int) -> Callable[[], int]:
    return _in_graph(_batches(_examples(data_dir, config, cache), batch_size), batch_size)


def _first_epoch(data_dir: str, batch_size: int) -> float:
    started = time.perf_counter()
    examples = _examples(data_dir, "224x224", "off")
    take = _in_graph(_batches(examples, batch_size), batch_size)
    images = 0
    while images < examples.size:
        images += take()
    return images / (time.perf_counter() - started)


def _in_graph(iterator, batch_size: int) -> Callable[[], int]:
    """Reads batches like a training loop in the graph."""
    import tensorflow as tf

    steps = max(1, 512 // batch_size)

    @tf.function
    def take() -> None:
        for _ in tf.range(steps):
            next(iterator)

    def take_some() -> int:
        take()
        return steps * batch_size

    return take_some


def _in_python(batches, batch_size: int) -> Callable[[], int]:
    def take_some() -> int:
        next(batches)
        return batch_size

    return take_some


def _generator(folder: str, batch_size: int) -> Callable[[], int]:
    """Reads batches with the original's loader."""
    import tensorflow as tf

    images = tf.keras.preprocessing.image.ImageDataGenerator(horizontal_flip=True)
    batches = images.flow_from_directory(folder, target_size=_SIZE, batch_size=batch_size)
    return _in_python(batches, batch_size)


def _directory(folder: str, batch_size: int) -> Callable[[], int]:
    import keras

    batches = keras.utils.image_dataset_from_directory(
        folder, image_size=_SIZE, batch_size=batch_size, verbose=False
    )
    return _in_graph(iter(batches.repeat()), batch_size)


def _tfds(data_dir: str, batch_size: int) -> Callable[[], int]:
    import tensorflow as tf
    import tensorflow_datasets as tfds

    examples = tfds.load(f"{DATASET}/224x224", split="train", data_dir=data_dir, as_supervised=True)
    batches = (
        examples.shuffle(8192)
        .map(
            lambda image, label: (tf.image.random_flip_left_right(image), label),
            num_parallel_calls=tf.data.AUTOTUNE,
        )
        .repeat()
        .batch(batch_size)
        .prefetch(tf.data.AUTOTUNE)
    )
    return _in_graph(iter(batches), batch_size)


def _torch(folder: str, batch_size: int) -> Callable[[], int]:
    import numpy as np
    import torch
    from PIL import Image

    paths = sorted(pathlib.Path(folder).glob("*/*.png"))
    classes = sorted({path.parent.name for path in paths})

    class Radiographs(torch.utils.data.Dataset):
        def __len__(self) -> int:
            return len(paths)

        def __getitem__(self, index: int) -> tuple:
            image = Image.open(paths[index]).convert("L").resize(_SIZE)
            return torch.from_numpy(np.array(image)), classes.index(paths[index].parent.name)

    loader = torch.utils.data.DataLoader(
        Radiographs(), batch_size, shuffle=True, num_workers=os.cpu_count(), drop_last=True
    )

    def epochs():
        while True:
            yield from loader

    return _in_python(epochs(), batch_size)


def _array(data_dir: str, batch_size: int, copied: bool) -> Callable[[], int]:
    import tensorflow as tf

    batches = list(_examples(data_dir, "224x224", "off").one_pass(256))
    columns = {
        name: tf.concat([batch[name] for batch in batches], axis=0) for name in ("image", "label")
    }
    count = len(columns["label"]) // batch_size

    def load(index: tf.Tensor) -> dict:
        start = index % count * batch_size
        batch = {name: column[start : start + batch_size] for name, column in columns.items()}
        return batch | ({"image": tf.raw_ops.DeepCopy(x=batch["image"])} if copied else {})

    endless = tf.data.Dataset.range(tf.int64.max)
    loaded = endless.map(load, num_parallel_calls=os.cpu_count()).prefetch(8)
    return _in_graph(iter(loaded), batch_size)


def measure(
    ways: list[str], data_dir: str, folder: str, *, batch_size: int, rounds: int, seconds: float
) -> dict[str, list[float]]:
    """Measures images per second of each alternative in each round.

    Args:
        ways: keys of the table of ways.
        data_dir: directory of the built dataset.
        folder: the same images as PNG files, with one sub-folder per class.
        batch_size: batch size of all alternatives.
        rounds: number of timed turns.
        seconds: duration of a turn.
    """
    shared = [f"--data_dir={data_dir}", f"--folder={folder}", f"--batch_size={batch_size}"]
    contestants = {
        way: Contestant("benchmarks.input_pipeline",
                        [f"--serve={way}", *shared, f"--seconds={seconds}"])
        for way in ways
    }  # fmt: skip
    return alternate(contestants, rounds)


def _report(measured: dict[str, list[float]], batch_size: int) -> None:
    medians = {way: statistics.median(rates) for way, rates in measured.items()}
    others = [way for way in ("generator", "roofline") if way in measured]
    print(f"{'batches of ' + str(batch_size):32}{'images/s':>12}" + "".join(
        f"{'/ ' + other:>14}" for other in others))  # fmt: skip
    over = {
        other: {way: round(ratio(rates, measured[other]), 3) for way, rates in measured.items()}
        for other in others
    }
    for way, rate in medians.items():
        print(f"{_WAYS[way]:32}{rate:12,.0f}" + "".join(f"{over[o][way]:14.2f}" for o in others))
    result = {"benchmark": "input_pipeline", "machine": describe(), "batch_size": batch_size}
    result["images_per_second"] = {way: round(rate, 1) for way, rate in medians.items()}
    print(json.dumps(result | {f"over_{other}": ratios for other, ratios in over.items()}))


def _define_flags() -> None:
    define_radiographs_flags()
    define_choice("ways", _WAYS, "Which ways.")
    flags.DEFINE_integer("batch_size", 16, "Batch size.", lower_bound=1)
    flags.DEFINE_integer("rounds", 5, "Turns that count.", lower_bound=1)
    flags.DEFINE_float("seconds", 2.0, "Length of a turn.", lower_bound=0.01)
    flags.DEFINE_enum("serve", None, list(_WAYS), "Take batches in this way when told to.")
    flags.DEFINE_string("folder", None, "Images in a sub-folder for each class, with --serve.")


def _main() -> None:
    options = flags.FLAGS
    if options.serve:
        serve(
            _work(options.serve, options.data_dir, options.folder, options.batch_size,
                  options.seconds)
        )  # fmt: skip
        return
    ways = [way for way in _WAYS if way in options.ways]
    if "torch" in ways and not importlib.util.find_spec("torch"):
        print("PyTorch is not installed: skipped")
        ways.remove("torch")
    with both_forms(["224x224", "full"]) as (data_dir, folder):
        measured = measure(
            ways,
            data_dir,
            f"{folder}/train",
            batch_size=options.batch_size,
            rounds=options.rounds,
            seconds=options.seconds,
        )
    _report(measured, options.batch_size)


if __name__ == "__main__":
    Command(_main, _define_flags).run()
