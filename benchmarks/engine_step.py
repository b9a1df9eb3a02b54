"""Time of a training step: this engine, Keras `fit` and PyTorch on the same batches.

Usage:

    python -m benchmarks.engine_step [--models=lenet,vgg19] [--rounds=5] [--steps=4]
        [--train_backbone] [--ways=engine,keras,torch,torch_compiled] [--precision=mixed_bfloat16]

Every model starts from random weights and trains the same layers as in the seed recipe, or all with
--train_backbone, on the first GPU, or on the processor without one. Keras runs with its default,
`auto`, for XLA, and without XLA; two virtual replicas share the processor, where Keras only works
without XLA. PyTorch is included if requested by --ways, which needs `pip install '.[torch]'`: the
same networks, channels_last, eager and with `torch.compile`. The first turn of each, with tracing
and compiling, is excluded.

PyTorch's threads are set to sleep while they wait for each other. By default they spin, which makes
steps several times slower if other programs share the processor. On an otherwise idle machine, set
OMP_WAIT_POLICY=active in the environment to let them spin.
"""

import importlib.util
import json
import os
import statistics
import time
from collections.abc import Callable
from typing import NamedTuple

from absl import flags

from benchmarks import MODELS
from benchmarks.choice import define_choice
from benchmarks.machine import describe
from benchmarks.paired import Contestant, alternate, ratio, serve
from benchmarks.random_images import random_images
from cxr_command.runner import Command

# Number of virtual devices and display name of each alternative.
_WAYS = {
    "engine": (1, "this engine"),
    "engine_xla": (1, "this engine, XLA"),
    "engine_plain": (1, "this engine, no XLA"),
    "keras": (1, "Keras fit"),
    "keras_plain": (1, "Keras fit, no XLA"),
    "engine_two": (2, "this engine, two replicas"),
    "keras_two": (2, "Keras fit, two replicas"),
    "torch": (1, "PyTorch, eager"),
    "torch_compiled": (1, "PyTorch, torch.compile"),
}
_OF_TORCH = ("torch", "torch_compiled")
# PyTorch is not a dependency of this project; on processors, `engine` already runs without XLA.
_UNASKED = ("engine_plain", *_OF_TORCH)
# Read by OpenMP, which provides PyTorch's threads but not TensorFlow's.
_WAIT_POLICY = "OMP_WAIT_POLICY"
_XLA = {"engine_xla": "on", "engine_plain": "off"}
# PyTorch would need loss scaling for float16.
_PRECISIONS = ("float32", "mixed_bfloat16")
_FEWEST_IMAGES = 64


class _Job(NamedTuple):
    """What to train, the same in every alternative.

    Attributes:
        name: name of the model.
        precision: one of `_PRECISIONS`.
        batch_size: the global batch size.
        steps: steps per turn.
        train_backbone: as for `trainer.models.build`.
    """

    name: str
    precision: str
    batch_size: int
    steps: int
    train_backbone: bool | None

    @property
    def images(self) -> int:
        """Number of distinct images."""
        return max(_FEWEST_IMAGES, 2 * self.batch_size)


def _work(way: str, job: _Job) -> Callable[[], float]:
    """Returns a function that trains some steps and returns images per second."""
    if way in _OF_TORCH:
        return _torch(way, job)
    if way.startswith("engine"):
        return _engine(way, job)
    run, steps = _keras(way, job), job.steps

    def images_per_second() -> float:
        started = time.perf_counter()
        run(steps)
        return steps * job.batch_size / (time.perf_counter() - started)

    return images_per_second


def _engine(way: str, job: _Job) -> Callable[[], float]:
    from benchmarks import training
    from trainer import hardware

    count = _WAYS[way][0]
    devices = hardware.resolve(
        hardware.Placement(
            "mirrored" if count > 1 else "one_device",
            job.precision,
            _XLA.get(way, "auto"),
            count if count > 1 else 0,
        )
    )
    ours = training.Training(job.name, devices, job.batch_size, train_backbone=job.train_backbone)
    return lambda: ours.train(job.steps)["images_per_second"]


def _torch(way: str, job: _Job) -> Callable[[], float]:
    # A separate process, so that TensorFlow's threads do not compete with PyTorch's.
    from benchmarks import torch_training

    theirs = torch_training.Training(
        job.name,
        job.images,
        job.batch_size,
        compiled=way == "torch_compiled",
        precision=job.precision,
        train_backbone=job.train_backbone,
    )
    return lambda: theirs.train(job.steps)


def _keras(way: str, job: _Job) -> Callable[[int], None]:
    import tensorflow as tf

    from benchmarks import training

    strategy = training.plain_strategy(_WAYS[way][0])
    with strategy.scope():
        model, optimizer = training.build(
            job.name, precision=job.precision, train_backbone=job.train_backbone
        )
        model.compile(
            optimizer=optimizer,
            loss="sparse_categorical_crossentropy",
            metrics=["accuracy"],
            jit_compile="auto" if way == "keras" else False,
        )
    dataset = tf.data.Dataset.from_tensor_slices(random_images(job.images)).repeat()
    dataset = dataset.batch(job.batch_size, drop_remainder=True).prefetch(tf.data.AUTOTUNE)
    return lambda steps: model.fit(dataset, steps_per_epoch=steps, epochs=1, verbose=0)


def _measure(name: str, ways: list[str], rounds: int, settings: list[str]) -> dict:
    """Returns images per second by alternative and round; equal numbers of replicas take turns."""
    environment = {_WAIT_POLICY: os.environ.get(_WAIT_POLICY, "passive")}
    measured = {}
    for count in sorted({_WAYS[way][0] for way in ways}):
        contestants = {
            way: Contestant(
                "benchmarks.engine_step",
                [f"--way={way}", f"--models={name}", *settings],
                environment,
            )
            for way in ways
            if _WAYS[way][0] == count
        }
        measured |= alternate(contestants, rounds)
    return measured


def _ratios(measured: dict[str, list[float]]) -> dict[str, float]:
    pairs = {
        "engine_over_keras": ("engine", "keras"),
        "engine_over_keras_plain": ("engine", "keras_plain"),
        "engine_over_keras_two_replicas": ("engine_two", "keras_two"),
        "engine_over_torch": ("engine", "torch"),
        "engine_over_torch_compiled": ("engine", "torch_compiled"),
        "xla_over_auto": ("engine_xla", "engine"),
        "auto_over_no_xla": ("engine", "engine_plain"),
    }
    return {
        name: round(ratio(measured[ours], measured[theirs]), 3)
        for name, (ours, theirs) in pairs.items()
        if ours in measured and theirs in measured
    }


def _check_torch(ways: list[str]) -> None:
    asked = [way for way in ways if way in _OF_TORCH]
    if asked and not importlib.util.find_spec("torch"):
        raise ValueError(
            f"--ways={','.join(asked)}: PyTorch is not installed; pip install '.[torch]'"
        )


def _define_flags() -> None:
    define_choice("models", MODELS, "Which models.")
    define_choice(
        "ways", _WAYS, "Which ways to train.", [way for way in _WAYS if way not in _UNASKED]
    )
    flags.DEFINE_integer("rounds", 5, "Turns of each way that count.", lower_bound=1)
    flags.DEFINE_integer("steps", 4, "Steps in a turn.", lower_bound=1)
    flags.DEFINE_integer("batch_size", 16, "Global batch size.", lower_bound=2)
    flags.DEFINE_enum("precision", _PRECISIONS[0], _PRECISIONS, "Dtype policy of all ways.")
    flags.DEFINE_bool("train_backbone", False, "Also train the backbones of ResNet-101 and VGG-19.")
    flags.DEFINE_enum("way", None, list(_WAYS), "Train in this way when told to.")


def _main() -> None:
    options = flags.FLAGS
    if options.way:
        job = _Job(
            options.models[0], options.precision, options.batch_size, options.steps,
            options.train_backbone or None,
        )  # fmt: skip
        serve(_work(options.way, job))
        return
    _check_torch(options.ways)
    settings = [
        f"--batch_size={options.batch_size}", f"--steps={options.steps}",
        f"--train_backbone={str(options.train_backbone).lower()}",
        f"--precision={options.precision}",
    ]  # fmt: skip
    results = {}
    for name in options.models:
        measured = _measure(name, options.ways, options.rounds, settings)
        rates = {way: round(statistics.median(values), 2) for way, values in measured.items()}
        ratios = _ratios(measured)
        results[name] = {"images_per_second": rates, **ratios}
        print(name)
        for way, rate in rates.items():
            print(f"  {_WAYS[way][1]:32}{rate:9.2f} images/s")
        for text, value in ratios.items():
            print(f"  {text.replace('_', ' '):32}{value:9.2f}")
    result = {"benchmark": "engine_step", "machine": describe(), "models": results}
    asked = {"train_backbone": options.train_backbone, "precision": options.precision}
    print(json.dumps(result | asked | {"batch_size": options.batch_size}))


if __name__ == "__main__":
    Command(_main, _define_flags).run()
