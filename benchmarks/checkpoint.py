"""How long a checkpoint pauses training: written by a thread, and written in the loop.

    python -m benchmarks.checkpoint [--models=resnet101] [--rounds=5] [--directory=DIR]

The state is that of the strong recipe with all weights trained: weights, two slots of AdamW and the
moving average. Both variants write the same files, each to its own directory.
"""

import json
import pathlib
import statistics
import tempfile
import time

from absl import flags

from benchmarks import MODELS
from benchmarks.choice import define_choice
from benchmarks.machine import describe
from cxr_command.runner import Command


def _measure(name: str, rounds: int, directory: str | None) -> dict[str, float]:
    import keras
    import tensorflow as tf

    from benchmarks.training import build
    from trainer.training.checkpoint import Checkpoints
    from trainer.training.computation import Computation
    from trainer.training.engine import Engine
    from trainer.training.objective import Objective
    from trainer.training.progress import Progress

    model, _ = build(name, image_shape=(64, 64, 1), train_backbone=name != "lenet")
    optimizer = keras.optimizers.AdamW(1e-5, use_ema=True)
    engine = Engine(
        tf.distribute.OneDeviceStrategy("/cpu:0"), model, Computation(optimizer, Objective(4))
    )
    stood_still: dict[str, list[float]] = {"thread": [], "loop": []}
    with tempfile.TemporaryDirectory(dir=directory) as folder:
        checkpoints = Checkpoints(pathlib.Path(folder))
        for epoch in range(rounds):
            for way, seconds in stood_still.items():
                progress = Progress(epochs=epoch, step=len(way))
                started = time.perf_counter()
                checkpoints.save(engine.state, progress)
                if way == "loop":
                    checkpoints.wait()
                seconds.append(time.perf_counter() - started)
                checkpoints.wait()
    size = sum(
        tensor.shape.num_elements() * tensor.dtype.size for tensor in engine.state().values()
    )
    medians = {way: statistics.median(seconds) for way, seconds in stood_still.items()}
    return {"megabytes": size / 1e6, **{f"{way}_ms": 1e3 * s for way, s in medians.items()}}


def _define_flags() -> None:
    define_choice("models", MODELS, "Which models.")
    flags.DEFINE_integer("rounds", 5, "Checkpoints written each way.", lower_bound=1)
    flags.DEFINE_string(
        "directory", None, "Directory to write to; default: the temporary directory."
    )


def _main() -> None:
    options = flags.FLAGS
    results = {}
    print(f"{'':12}{'state':>10}{'by a thread':>14}{'in the loop':>14}")
    for name in options.models:
        found = results[name] = _measure(name, options.rounds, options.directory)
        print(
            f"{name:12}{found['megabytes']:7.0f} MB{found['thread_ms']:11.1f} ms"
            f"{found['loop_ms']:11.1f} ms"
        )
    print(json.dumps({"benchmark": "checkpoint", "machine": describe(), "models": results}))


if __name__ == "__main__":
    Command(_main, _define_flags).run()
