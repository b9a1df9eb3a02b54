"""Time saved in the seed recipe by running a frozen backbone once instead of in every epoch.

Usage:

    python -m benchmarks.feature_cache [--data_dir=DATA] [--models=vgg19,resnet101] [--rounds=2]

Without a dataset of some hundred images, phantoms are drawn. Each model trains from random weights
(which do not affect the speed) on one device, in a separate process. Every round measures in turn:
an epoch of the whole network, including validation; the features of all images, computed and
written to an empty folder; an epoch on these features; and the parts of the lower limit: two
forward passes over the training images and one over the validation images, all in memory, and the
head's steps of an epoch, on one repeated batch. All epochs take the same time, so a training takes
its start-up plus `--epochs` times an epoch. The first turn of each, with tracing, is excluded.
Checkpoints, which are the same for both variants, are excluded, too: `--whole` includes them and
measures the commands themselves, once, from start to end.
"""

import json
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable

from absl import flags

from benchmarks.built_dataset import built, define_dataset_flags
from benchmarks.choice import define_choice
from benchmarks.machine import describe
from benchmarks.paired import ratio
from cxr_command.runner import Command

_MODELS = ("vgg19", "resnet101")
_TURNS = {
    "whole_epoch": "an epoch, whole network",
    "features": "features, computed and written",
    "head_epoch": "an epoch on features",
    "forward_passes": "limit: forward passes",
    "head_steps": "limit: an epoch's head steps",
    "update": "of these, the optimizer's update",
}


def _work(name: str, data_dir: str, rounds: int) -> dict[str, list[float]]:
    """Returns the seconds of each turn in each round, for one model in this process."""
    turns = _turns(name, data_dir)
    seconds = {turn: [] for turn in turns}
    for _ in range(rounds + 1):
        for turn, run in turns.items():
            started = time.perf_counter()
            run()
            seconds[turn].append(time.perf_counter() - started)
    return {turn: values[1:] for turn, values in seconds.items()}


def _turns(name: str, data_dir: str) -> dict[str, Callable[[], None]]:
    training = _Training(name, data_dir)
    training.compute_features()
    whole = _Epochs(training, None, training.images)
    head = _Epochs(training, training.frozen.backbone.output, training.kept)
    return {
        "whole_epoch": whole.run,
        "features": training.compute_features,
        "head_epoch": head.run,
        "forward_passes": training.forward_passes,
        "head_steps": head.steps_on_one_batch,
        "update": head.updates,
    }


class _Training:
    """A training with the seed recipe, set up like trainer.main, and its cached features."""

    def __init__(self, name: str, data_dir: str) -> None:
        import keras
        import tensorflow as tf

        from trainer import hardware, models
        from trainer.data.example_stream import read_examples
        from trainer.data.opening import open_dataset
        from trainer.data.source import DEFAULT_DATASET
        from trainer.training import config as configuration
        from trainer.training import features
        from trainer.training.phases import plan, prepare

        dataset = open_dataset(DEFAULT_DATASET, data_dir)
        self.config = config = configuration.make("seed", name, _settings(dataset.name, data_dir))
        self.devices = hardware.resolve(hardware.Placement("one_device", "float32", "auto", 0))
        keras.utils.set_random_seed(0)
        self.model = models.build(name, image_shape=dataset.image_shape)
        phases = plan(config.phases, config.optimization, config.network)
        prepare(self.model, phases[0])
        train, validation = (
            read_examples(dataset, split, cache="off", shuffle_seed=seed)
            for split, seed in (("train", 0), ("validation", None))
        )
        self.images = train, validation
        frozen, why = features.plan_features(config, phases, dataset, self.model, self.devices)
        assert frozen, why
        self.frozen, self._forward = frozen, tf.function(frozen.backbone)
        self._batches = [
            [batch["image"] for batch in examples.one_pass(features.BATCH)]
            for examples in self.images
        ]

    def compute_features(self) -> None:
        """Recomputes and writes the features of all images."""
        from trainer.training.interruption import StopRequest

        for cache in (self.frozen.train, self.frozen.validation):
            shutil.rmtree(cache.folder, ignore_errors=True)
        self.kept = self.frozen.compute(*self.images, self.devices, StopRequest())

    def forward_passes(self) -> None:
        """Runs the backbone's forward passes on images in memory."""
        for batch in self._batches[0] * 2 + self._batches[1]:
            self._forward(batch, training=False)


class _Epochs:
    """Trains and validates on images, or a head on features, like a run of trainer.main."""

    def __init__(self, training: _Training, start, examples) -> None:
        import keras
        import tensorflow as tf

        from trainer.data.augment import Augmentation
        from trainer.data.input import distribute_batches
        from trainer.training.computation import Computation
        from trainer.training.engine import Engine
        from trainer.training.execution import Execution
        from trainer.training.objective import Objective

        config, devices = training.config, training.devices
        self._engine = Engine(
            devices.strategy,
            training.model,
            Computation(
                keras.optimizers.Adam(config.optimization.learning_rate),
                Objective(4),
                start=start,
                augmentation=Augmentation(flip=True) if start is None else None,
            ),
            execution=Execution(xla=devices.xla, xla_update=devices.xla_update),
        )
        batch_size = config.batching.global_batch_size
        self._batches, self._held_out = (
            iter(distribute_batches(part, devices.strategy, batch_size, augment_seed=seed))
            for part, seed in zip(examples, (config.task.seed, None), strict=True)
        )
        self._steps, self._held_out_steps = (part.steps_per_epoch(batch_size) for part in examples)
        first = next(self._batches)
        self._one_batch = iter(tf.data.Dataset.from_tensors(first).repeat())
        self._engine.train(self._one_batch, 1)
        (apply,) = self._engine._updates
        reduced = [
            tf.ones(spec.shape, spec.dtype)
            for spec in tf.nest.flatten(apply.structured_input_signature)
        ]

        @tf.function
        def update(times: int) -> None:
            for _ in tf.range(times):
                apply(reduced)

        self._update = update

    def run(self) -> None:
        """Runs an epoch."""
        self._engine.train(self._batches, self._steps)
        self._engine.evaluate(self._held_out, self._held_out_steps)

    def steps_on_one_batch(self) -> None:
        """Runs the training steps of an epoch without loading."""
        self._engine.train(self._one_batch, self._steps)

    def updates(self) -> None:
        """Runs the optimizer's updates of an epoch without computing gradients."""
        self._update(self._steps)


def _settings(dataset: str, data_dir: str) -> dict:
    """Returns the settings that differ from the recipe and the defaults."""
    return {
        "dataset": dataset, "data_dir": data_dir, "strategy": "one_device", "precision": "float32",
        "cache": "auto", "feature_cache": "on", "weights": "none",
    }  # fmt: skip


def _totals(seconds: dict[str, list[float]], epochs: int) -> dict[str, float]:
    """Returns medians of the turns, and the resulting duration of a training."""
    median = {turn: statistics.median(values) for turn, values in seconds.items()}
    rounds = [
        dict(zip(seconds, values, strict=True)) for values in zip(*seconds.values(), strict=True)
    ]
    without = [epochs * part["whole_epoch"] for part in rounds]
    kept = [part["features"] + epochs * part["head_epoch"] for part in rounds]
    limit = [part["forward_passes"] + epochs * part["head_steps"] for part in rounds]
    return {
        "seconds": {turn: round(value, 2) for turn, value in median.items()},
        "training_without": round(statistics.median(without), 1),
        "training_with": round(statistics.median(kept), 1),
        "limit": round(statistics.median(limit), 1),
        "times_faster": round(ratio(without, kept), 2),
        "over_limit": round(ratio(kept, limit), 3),
        "head_share": round(statistics.median(
            epochs * part["head_epoch"] / total for part, total in zip(rounds, kept, strict=True)
        ), 3),
        "update_share_of_head": round(ratio(
            [part["update"] for part in rounds], [part["head_steps"] for part in rounds]
        ), 3),
    }  # fmt: skip


def _whole(name: str, data_dir: str, epochs: int) -> dict[str, float]:
    """Returns the seconds of the commands themselves, including checkpoints."""
    seconds = {}
    for asked in ("on", "off"):
        with tempfile.TemporaryDirectory() as scratch:
            command_line = [
                sys.executable, "-m", "trainer.main", f"--model={name}", "--recipe=seed",
                "--weights=none", "--strategy=one_device", f"--feature_cache={asked}",
                f"--epochs={epochs}", f"--patience={epochs}", f"--data_dir={data_dir}",
                f"--workdir={scratch}/run",
            ]  # fmt: skip
            started = time.perf_counter()
            subprocess.run(  # noqa: S603
                command_line,
                check=True,
                stderr=subprocess.DEVNULL,
                env=os.environ | {"CXR_CACHE_DIR": f"{scratch}/cache"},
            )
            seconds[f"command_{'with' if asked == 'on' else 'without'}"] = round(
                time.perf_counter() - started, 1
            )
    return seconds


def _in_own_process(name: str, data_dir: str, rounds: int) -> dict[str, list[float]]:
    with tempfile.TemporaryDirectory() as scratch:
        done = subprocess.run(  # noqa: S603
            [sys.executable, "-m", "benchmarks.feature_cache", f"--model={name}",
             f"--data_dir={data_dir}", f"--rounds={rounds}"],
            capture_output=True, text=True, env=os.environ | {"CXR_CACHE_DIR": scratch},
        )  # fmt: skip
    if done.returncode:
        raise ValueError(f"{name} failed: {done.stderr.strip().splitlines()[-1]}")
    return json.loads(done.stdout.splitlines()[-1])


def _report(name: str, found: dict, epochs: int) -> None:
    print(name)
    for turn, value in found["seconds"].items():
        print(f"  {_TURNS[turn]:34}{value:9.2f} s")
    print(f"  {epochs} epochs, the whole network      {found['training_without']:9.1f} s")
    print(f"  {epochs} epochs, features included      {found['training_with']:9.1f} s")
    print(f"  {'times faster':34}{found['times_faster']:9.2f}")
    print(f"  {'of its own limit':34}{found['over_limit']:9.2f}")
    print(f"  {'share of the head':34}{found['head_share']:9.2f}")
    print(f"  {'the update, of the head':34}{found['update_share_of_head']:9.2f}")
    for way in ("without", "with"):
        if f"command_{way}" in found:
            print(f"  {f'the command, {way} the cache':34}{found[f'command_{way}']:9.1f} s")


def _define_flags() -> None:
    define_dataset_flags()
    define_choice("models", _MODELS, "Which models.")
    flags.DEFINE_integer("rounds", 2, "Turns that count.", lower_bound=1)
    flags.DEFINE_integer("epochs", 20, "Epochs of a training.", lower_bound=1)
    flags.DEFINE_bool("whole", False, "Also time the whole commands.")
    flags.DEFINE_enum("model", None, list(_MODELS), "Measure this one and print the seconds.")


def _main() -> None:
    options = flags.FLAGS
    if options.model:
        print(json.dumps(_work(options.model, options.data_dir, options.rounds)))
        return
    results = {}
    with built(["224x224"]) as (data_dir, _):
        for name in options.models:
            seconds = _in_own_process(name, data_dir, options.rounds)
            found = _totals(seconds, options.epochs)
            if options.whole:
                found |= _whole(name, data_dir, options.epochs)
            _report(name, found, options.epochs)
            results[name] = found
    print(json.dumps({"benchmark": "feature_cache", "machine": describe(),
                      "epochs": options.epochs, "models": results}))  # fmt: skip


if __name__ == "__main__":
    Command(_main, _define_flags).run()
