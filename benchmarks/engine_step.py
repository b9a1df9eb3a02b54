"""How long a training step takes: this engine beside Keras `fit`, on the same model and batches.

Usage:

    python -m benchmarks.engine_step [--models=lenet,vgg19] [--rounds=5] [--steps=4]

Every model starts from random weights and trains what the seed recipe trains of it. Keras runs as
its users have it: with the XLA that its `auto` chooses, and without XLA; two virtual replicas share
the processor, where Keras can run without XLA only. The first turn of each, with tracing and
compiling, is not counted.
"""

import json
import statistics
import time
from collections.abc import Callable

from absl import flags

from benchmarks import MODELS
from benchmarks.choice import define_choice
from benchmarks.machine import describe
from benchmarks.paired import Contestant, alternate, obey, ratio
from benchmarks.random_images import random_images
from cxr_tfds import command

# Name of a way: number of virtual devices, what it is called in the table.
_WAYS = {
    "engine": (1, "this engine"),
    "engine_xla": (1, "this engine, XLA"),
    "keras": (1, "Keras fit"),
    "keras_plain": (1, "Keras fit, no XLA"),
    "engine_two": (2, "this engine, two replicas"),
    "keras_two": (2, "Keras fit, two replicas"),
}
_IMAGES = 64


def _work(way: str, name: str, batch_size: int, steps: int) -> Callable[[], float]:
    """A function that trains some steps in one way and returns images per second."""
    import tensorflow as tf

    from benchmarks import training
    from trainer import hardware

    count = _WAYS[way][0]
    if way.startswith("engine"):
        devices = hardware.resolve(
            "mirrored" if count > 1 else "one_device",
            "float32",
            "on" if "xla" in way else "off",
            count if count > 1 else 0,
        )
        ours = training.Training(name, devices, batch_size)
        return lambda: ours.train(steps)["images_per_second"]

    cpu = tf.config.list_physical_devices("CPU")[0]
    tf.config.set_logical_device_configuration(
        cpu, [tf.config.LogicalDeviceConfiguration()] * count
    )
    places = [f"/cpu:{index}" for index in range(count)]
    strategy = (
        tf.distribute.MirroredStrategy(places)
        if count > 1
        else tf.distribute.OneDeviceStrategy(places[0])
    )
    with strategy.scope():
        built = training.build(name)
    run = _keras(way, built, strategy, batch_size)

    def images_per_second() -> float:
        started = time.perf_counter()
        run(steps)
        return steps * batch_size / (time.perf_counter() - started)

    return images_per_second


def _keras(way: str, built: tuple, strategy, batch_size: int) -> Callable[[int], None]:
    import tensorflow as tf

    model, optimizer = built
    with strategy.scope():
        model.compile(
            optimizer=optimizer,
            loss="sparse_categorical_crossentropy",
            metrics=["accuracy"],
            jit_compile="auto" if way == "keras" else False,
        )
    dataset = tf.data.Dataset.from_tensor_slices(random_images(_IMAGES)).repeat()
    dataset = dataset.batch(batch_size, drop_remainder=True).prefetch(tf.data.AUTOTUNE)
    return lambda steps: model.fit(dataset, steps_per_epoch=steps, epochs=1, verbose=0)


def _measure(name: str, ways: list[str], rounds: int, batch_size: int, steps: int) -> dict:
    """Images per second of each way in each round; ways of one number of replicas take turns."""
    measured = {}
    for count in sorted({_WAYS[way][0] for way in ways}):
        contestants = {
            way: Contestant(
                "benchmarks.engine_step",
                [f"--way={way}", f"--models={name}", f"--batch_size={batch_size}",
                 f"--steps={steps}"],
            )
            for way in ways if _WAYS[way][0] == count
        }  # fmt: skip
        measured |= alternate(contestants, rounds)
    return measured


def _ratios(measured: dict[str, list[float]]) -> dict[str, float]:
    pairs = {
        "engine_over_keras": ("engine", "keras"),
        "engine_over_keras_plain": ("engine", "keras_plain"),
        "engine_over_keras_two_replicas": ("engine_two", "keras_two"),
        "xla_over_none": ("engine_xla", "engine"),
    }
    return {
        name: round(ratio(measured[ours], measured[theirs]), 3)
        for name, (ours, theirs) in pairs.items()
        if ours in measured and theirs in measured
    }


def _define_flags() -> None:
    define_choice("models", MODELS, "Which models.")
    define_choice("ways", _WAYS, "Which ways to train.")
    flags.DEFINE_integer("rounds", 5, "Turns of each way that count.", lower_bound=1)
    flags.DEFINE_integer("steps", 4, "Steps in a turn.", lower_bound=1)
    flags.DEFINE_integer("batch_size", 16, "Global batch size.", lower_bound=2)
    flags.DEFINE_enum("way", None, list(_WAYS), "Train in this way when told to.")


def _main() -> None:
    options = flags.FLAGS
    if options.way:
        obey(_work(options.way, options.models[0], options.batch_size, options.steps))
        return
    results = {}
    for name in options.models:
        measured = _measure(name, options.ways, options.rounds, options.batch_size, options.steps)
        rates = {way: round(statistics.median(values), 2) for way, values in measured.items()}
        ratios = _ratios(measured)
        results[name] = {"images_per_second": rates, **ratios}
        print(name)
        for way, rate in rates.items():
            print(f"  {_WAYS[way][1]:32}{rate:9.2f} images/s")
        for text, value in ratios.items():
            print(f"  {text.replace('_', ' '):32}{value:9.2f}")
    print(json.dumps({"benchmark": "engine_step", "machine": describe(), "models": results}))


if __name__ == "__main__":
    command.run("benchmarks.engine_step", _define_flags, _main)
