"""Overhead of replicas: training on one, two and four at the same global batch size.

Usage:

    python -m benchmarks.scaling [--models=lenet,resnet101] [--replicas=1,2,4] [--batch_size=16]

Virtual replicas share one processor, so the cost of additional replicas is the overhead of the
engine and TensorFlow: splitting the batch, smaller products, the reduction.
"""

import json
import statistics

from absl import flags

from benchmarks import MODELS
from benchmarks.choice import define_choice
from benchmarks.machine import describe
from benchmarks.paired import Contestant, alternate, ratio, serve
from cxr_command.runner import Command


def _serve(name: str, replicas: int, batch_size: int, steps: int) -> None:
    from benchmarks.training import Training
    from trainer import hardware

    devices = hardware.resolve(hardware.Placement("mirrored", "float32", "off", replicas))
    training = Training(name, devices, batch_size)
    serve(lambda: training.train(steps)["images_per_second"])


def measure(
    name: str, replicas: list[int], rounds: int, batch_size: int, steps: int
) -> dict[str, dict[int, float]]:
    """Trains one model with every number of replicas, in turn.

    Args:
        name: name of the model.
        replicas: numbers of replicas; the first is the reference.
        rounds: number of timed turns of each.
        batch_size: global batch size.
        steps: steps per turn.

    Returns:
        `images_per_second`, and `kept`, the share of the first's rate, by number of replicas.
    """
    contestants = {
        count: Contestant(
            "benchmarks.scaling",
            [f"--models={name}", f"--serve={count}", f"--batch_size={batch_size}",
             f"--steps={steps}"],
        )
        for count in replicas
    }  # fmt: skip
    measured = alternate(contestants, rounds)
    return {
        "images_per_second": {c: round(statistics.median(v), 2) for c, v in measured.items()},
        "kept": {c: round(ratio(v, measured[replicas[0]]), 3) for c, v in measured.items()},
    }


def _define_flags() -> None:
    define_choice("models", MODELS, "Which models.")
    flags.DEFINE_list("replicas", ["1", "2", "4"], "Numbers of virtual replicas.")
    flags.DEFINE_integer("rounds", 5, "Turns of each that count.", lower_bound=1)
    flags.DEFINE_integer("steps", 4, "Steps in a turn.", lower_bound=1)
    flags.DEFINE_integer("batch_size", 16, "Global batch size.", lower_bound=1)
    flags.DEFINE_integer("serve", None, "Train on so many replicas when told to.")


def _main() -> None:
    options = flags.FLAGS
    if options.serve:
        _serve(options.models[0], options.serve, options.batch_size, options.steps)
        return
    replicas = [int(count) for count in options.replicas]
    if odd := [count for count in replicas if count < 1 or options.batch_size % count]:
        raise ValueError(f"--batch_size={options.batch_size} does not divide by {odd[0]} replicas")
    print(f"{'':14}" + "".join(f"{f'{count} replica(s)':>22}" for count in replicas))
    results = {}
    for name in options.models:
        found = measure(name, replicas, options.rounds, options.batch_size, options.steps)
        results[name] = found
        cells = [f"{found['images_per_second'][c]:.2f} ({found['kept'][c]:.2f})" for c in replicas]
        print(f"{name:14}" + "".join(f"{cell:>22}" for cell in cells))
    print(f"images/s at a global batch of {options.batch_size} (share of the first's rate)")
    result = {"benchmark": "scaling", "machine": describe(), "batch_size": options.batch_size}
    print(json.dumps(result | {"models": results}))


if __name__ == "__main__":
    Command(_main, _define_flags).run()
