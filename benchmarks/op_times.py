"""Where the time of a training step goes, by TensorFlow's profiler.

Usage:

    python -m benchmarks.op_times [--models=lenet,resnet101] [--batch_size=16] [--steps=8]

Of the operations inside a layer, `convolutions` and `products` (dense layers) are those and their
gradients, and `other layers` the rest; `update` is what the loop around them does: the norm of the
gradients, the optimizer, the metrics; `input` is what prepares batches. Shares are of all
operations' time; `idle` is the share of the time in which no operation ran. Operations that XLA has
compiled cannot be told apart: this is for CPUs.
"""

import json
import pathlib
import re
import tempfile
from collections import Counter

from absl import flags

from benchmarks import MODELS
from benchmarks.choice import define_choice
from benchmarks.machine import describe
from benchmarks.paired import Contestant, alternate, serve
from cxr_command.runner import Command

# Operations that hold others, whose time is theirs.
_CONTAINERS = (":While", ":If", "Call", ":RewriteDataset")
PARTS = ("convolutions", "products", "other layers", "update", "input")


def part_of(operation: str) -> str:
    """The part that an operation belongs to.

    Args:
        operation: NAME:TYPE. The step is the body of the loop `while`, and calls the network.
    """
    name, _, kind = operation.partition(":")
    if not name.startswith("while/") or "Iterator" in kind:
        return "input"
    if "PartitionedCall/" not in name:
        return "update"
    if "Conv2D" in kind:
        return "convolutions"
    return "products" if "MatMul" in kind else "other layers"


def union_length(intervals: list[tuple[int, int]]) -> int:
    """Length of what intervals of start and end cover together."""
    covered, reached = 0, 0
    for start, end in sorted(intervals):
        covered += max(0, end - max(start, reached))
        reached = max(reached, end)
    return covered


def read_profile(directory: pathlib.Path) -> list[tuple[str, int, int]]:
    """NAME:TYPE, start and end (picoseconds) of every operation of the host in a profile."""
    from tensorflow.tsl.profiler.protobuf import xplane_pb2

    (file,) = directory.rglob("*.xplane.pb")
    space = xplane_pb2.XSpace.FromString(file.read_bytes())
    found = []
    for plane in space.planes:
        for line in plane.lines:
            for event in line.events:
                name = plane.event_metadata[event.metadata_id].name
                if re.fullmatch(r"[^:\s]+:_?[A-Z]\w+", name) and not name.endswith(_CONTAINERS):
                    start = line.timestamp_ns * 1000 + event.offset_ps
                    found.append((name, start, start + event.duration_ps))
    return found


def shares(operations: list[tuple[str, int, int]]) -> dict[str, float]:
    """Share of each part in all operations' time, and of the time that is `idle`.

    Args:
        operations: NAME:TYPE, start and end of each.
    """
    times = Counter()
    for operation, start, end in operations:
        times[part_of(operation)] += end - start
    intervals = [(start, end) for _, start, end in operations]
    span = max(end for _, end in intervals) - min(start for start, _ in intervals)
    return {part: times[part] / times.total() for part in PARTS} | {
        "idle": 1 - union_length(intervals) / span
    }


def _serve(name: str, batch_size: int, steps: int) -> None:
    import tensorflow as tf

    from benchmarks.training import Training
    from trainer import hardware

    training = Training(
        name,
        hardware.resolve(hardware.Placement("one_device", "auto", "auto", 0)),
        batch_size,
    )

    def work() -> dict:
        with tempfile.TemporaryDirectory() as directory:
            tf.profiler.experimental.start(directory)
            training.train(steps)
            tf.profiler.experimental.stop()
            return shares(read_profile(pathlib.Path(directory)))

    serve(work)


def _define_flags() -> None:
    define_choice("models", MODELS, "Which models.")
    flags.DEFINE_integer("batch_size", 16, "Batch size.", lower_bound=1)
    flags.DEFINE_integer("steps", 8, "Steps that are profiled.", lower_bound=1)
    flags.DEFINE_bool("serve", False, "Work when told to.")


def _main() -> None:
    options = flags.FLAGS
    sizes = [f"--batch_size={options.batch_size}", f"--steps={options.steps}"]
    if options.serve:
        _serve(options.models[0], options.batch_size, options.steps)
        return
    parts = (*PARTS, "idle")
    print(f"{'':14}" + "".join(f"{part:>15}" for part in parts))
    results = {}
    for name in options.models:
        contestant = Contestant("benchmarks.op_times", ["--serve", f"--models={name}", *sizes])
        (results[name],) = alternate({name: contestant}, 1)[name]
        print(f"{name:14}" + "".join(f"{results[name][part]:15.1%}" for part in parts))
    result = {"benchmark": "op_times", "machine": describe(), "batch_size": options.batch_size}
    print(json.dumps(result | {"models": results}))


if __name__ == "__main__":
    Command(_main, _define_flags).run()
