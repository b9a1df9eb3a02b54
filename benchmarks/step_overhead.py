"""Overhead of a step besides arithmetic: operations, time to first step, step time, memory.

    python -m benchmarks.step_overhead [--models=densenet169] [--replicas=1,2,4,8] [--xla=auto]

Two small images per replica, with all weights trained as in the strong recipe, need almost no
computation, so the rest is overhead. Keras `fit` runs under the same strategy, on virtual devices
of one processor; each alternative is a separate process. The first step is timed after TensorFlow
has been imported, with nothing else running; later steps are timed in turns.
"""

import json
import resource
import statistics
import time
from collections.abc import Callable

from absl import flags

from benchmarks import MODELS
from benchmarks.choice import define_choice
from benchmarks.machine import describe
from benchmarks.paired import Contestant, ratio, serve
from cxr_command.runner import Command

_WAYS = ("engine", "keras")
_BATCH_PER_REPLICA = 2
_IMAGES = 64


def _engine(
    name: str, count: int, xla: str, size: int
) -> tuple[Callable[[int], object], Callable[[], dict]]:
    """Returns functions that run steps with the engine, and that describe its loop."""
    import tensorflow as tf

    from benchmarks.loop_operations import TracedLoop
    from benchmarks.training import in_memory
    from trainer import hardware
    from trainer.data.input import distribute_batches
    from trainer.models.fused_normalization import fuse_normalization
    from trainer.training.computation import Computation
    from trainer.training.engine import Engine
    from trainer.training.execution import Execution
    from trainer.training.objective import Objective

    devices = hardware.resolve(
        hardware.Placement("mirrored" if count > 1 else "one_device", "float32", xla, count)
    )
    with tf.device("/cpu:0"):
        model, optimizer = _build(name, size)
    engine = Engine(
        devices.strategy,
        fuse_normalization(model),
        Computation(optimizer, Objective(4), clip_norm=1.0),
        execution=Execution(xla=devices.xla, xla_update=devices.xla_update),
    )
    examples = in_memory(_IMAGES, (size, size, 1))
    batch_size = _BATCH_PER_REPLICA * devices.num_replicas
    batches = iter(distribute_batches(examples, devices.strategy, batch_size, timed=True))

    def operations() -> dict:
        counted = TracedLoop(engine, batches).count_operations()
        return {"operations": counted.total(), "kinds": dict(counted.most_common())}

    return lambda steps: engine.train(batches, steps), operations


def _keras(
    name: str, count: int, xla: str, size: int
) -> tuple[Callable[[int], object], Callable[[], dict]]:
    """Returns functions that run steps with Keras `fit`, and that describe it."""
    import tensorflow as tf

    from benchmarks.random_images import random_images
    from benchmarks.training import plain_strategy

    strategy = plain_strategy(count)
    with strategy.scope():
        model, optimizer = _build(name, size)
        model.compile(
            optimizer=optimizer, loss="sparse_categorical_crossentropy", metrics=["accuracy"],
            jit_compile=xla == "on",
        )  # fmt: skip
    batch_size = _BATCH_PER_REPLICA * count
    dataset = tf.data.Dataset.from_tensor_slices(random_images(_IMAGES, (size, size, 1))).repeat()
    dataset = dataset.batch(batch_size, drop_remainder=True).prefetch(tf.data.AUTOTUNE)
    return lambda steps: model.fit(dataset, steps_per_epoch=steps, epochs=1, verbose=0), dict


def _build(name: str, size: int) -> tuple:
    from benchmarks.training import build
    from trainer.training.optimizer import Optimization, build_optimizer

    model, _ = build(name, image_shape=(size, size, 1), train_backbone=name != "lenet")
    chosen = Optimization(
        optimizer="adamw", learning_rate=1e-5, schedule="cosine", warmup_epochs=1,
        weight_decay=0.05, ema_momentum=0.99,
    )  # fmt: skip
    return model, build_optimizer(chosen, total_steps=10_000, steps_per_epoch=100)


def _work(options) -> Callable[[], dict]:
    """Returns a function that runs the first step when first called, later several steps."""
    import trainer.training.engine  # noqa: F401 - TensorFlow's import is no part of what is timed

    started = time.perf_counter()
    make = {"engine": _engine, "keras": _keras}[options.way]
    count = int(options.replicas[0])
    train, describe_loop = make(options.models[0], count, options.xla, options.size)
    train(1)
    first = {"first_step_s": time.perf_counter() - started, **describe_loop()}
    orders = iter([first])

    def work() -> dict:
        if answer := next(orders, None):
            return answer
        began = time.perf_counter()
        train(options.steps)
        return {
            "step_ms": (time.perf_counter() - began) / options.steps * 1e3,
            "peak_gb": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6,
        }

    return work


def _measure(name: str, count: int, options) -> dict[str, dict]:
    """Returns the measurements; first steps run one after the other, the others in turns."""
    contestants: dict[str, Contestant] = {}
    found: dict[str, dict] = {}
    for way in options.ways:
        contestants[way] = Contestant(
            "benchmarks.step_overhead",
            [f"--way={way}", f"--models={name}", f"--replicas={count}", f"--size={options.size}",
             f"--steps={options.steps}", f"--xla={options.xla}"],
        )  # fmt: skip
        found[way] = contestants[way].work()
    turns: dict[str, list[dict]] = {way: [] for way in contestants}
    for _ in range(options.rounds + 1):  # The first one is not timed.
        for way, contestant in contestants.items():
            turns[way].append(contestant.work())
    for way, contestant in contestants.items():
        contestant.end()
        steps = [turn["step_ms"] for turn in turns[way][1:]]
        found[way] |= {
            "step_ms": statistics.median(steps),
            "steps_ms": steps,
            "peak_gb": turns[way][-1]["peak_gb"],
        }
    return found


def _ratios(found: dict[str, dict]) -> dict[str, float]:
    if len(found) < len(_WAYS):
        return {}
    return {
        "first_step_of_keras": found["engine"]["first_step_s"] / found["keras"]["first_step_s"],
        "speed_over_keras": ratio(found["keras"]["steps_ms"], found["engine"]["steps_ms"]),
    }


def _define_flags() -> None:
    define_choice("models", MODELS, "Which models.")
    define_choice("ways", _WAYS, "Which ways to train.")
    define_choice("replicas", ("1", "2", "4", "8"), "How many virtual replicas.")
    flags.DEFINE_enum("xla", "auto", ("auto", "on", "off"), "As of trainer.main; Keras: on or not.")
    flags.DEFINE_integer("size", 64, "Side of the images.", lower_bound=32)
    flags.DEFINE_integer("rounds", 3, "Turns of each way that count.", lower_bound=1)
    flags.DEFINE_integer("steps", 5, "Steps in a turn.", lower_bound=1)
    flags.DEFINE_enum("way", None, _WAYS, "Train in this way when told to.")


def _main() -> None:
    options = flags.FLAGS
    if options.way:
        serve(_work(options))
        return
    if options.xla == "on" and "keras" in options.ways and options.replicas != ["1"]:
        raise ValueError(
            "--xla=on: Keras fit crashes with it on several replicas; give --ways=engine or "
            "--replicas=1"
        )
    results: dict[str, dict] = {}
    print(
        f"{'':12}{'replicas':>9}{'':8}{'operations':>11}{'first step':>12}{'a step':>11}{'peak':>9}"
    )
    for name in options.models:
        results[name] = {}
        for count in map(int, options.replicas):
            found = _measure(name, count, options)
            results[name][count] = found | _ratios(found)
            for way, numbers in found.items():
                print(
                    f"{name:12}{count:9d}  {way:6}{numbers.get('operations', ''):>11}"
                    f"{numbers['first_step_s']:10.1f} s{numbers['step_ms']:8.1f} ms"
                    f"{numbers['peak_gb']:6.1f} GB",
                    flush=True,
                )
    print(json.dumps({"benchmark": "step_overhead", "machine": describe(), "models": results}))


if __name__ == "__main__":
    Command(_main, _define_flags).run()
