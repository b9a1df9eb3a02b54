"""Breakdown of a training step's time, by TensorFlow's profiler.

Usage:

    python -m benchmarks.op_times [--models=lenet,resnet101] [--batch_size=16] [--steps=8]

Operations inside layers are `convolutions` and `products` (dense layers), including gradients, and
`other layers`; `update` is the rest of the loop: the norm of the gradients, the optimizer and the
metrics; `input` prepares batches. Shares are of all operations' time; `idle` is the share of the
time without any running operation. On CPUs, XLA only compiles the update; compiled layers cannot be
distinguished.
"""

import json
import pathlib
import re
import tempfile
from collections import Counter
from typing import NamedTuple

from absl import flags

from benchmarks import MODELS
from benchmarks.choice import define_choice
from benchmarks.machine import describe
from benchmarks.paired import Contestant, alternate, serve
from cxr_command.runner import Command

# Operations that contain others, whose time is counted there.
_CONTAINERS = (":While", ":If", "Call", ":RewriteDataset")
PARTS = ("convolutions", "products", "other layers", "update", "input")


class Operation(NamedTuple):
    """An executed operation.

    Attributes:
        name: TensorFlow's NAME:TYPE, or XLA's name of a compiled operation.
        thread: name of its thread in the profiler.
        start: start time, in picoseconds.
        end: end time, in picoseconds.
        is_compiled: whether XLA has compiled it.
    """

    name: str
    thread: str
    start: int
    end: int
    is_compiled: bool = False


def part_of(operation: Operation, network: str) -> str:
    """Returns the part of a step that an operation belongs to.

    Args:
        operation: the operation.
        network: name of the Keras model.
    """
    name, _, kind = operation.name.partition(":")
    if operation.is_compiled:
        return "update"
    if operation.thread.startswith("tf_data") or "Iterator" in kind:
        return "input"
    # Keras names cloned networks functional, functional_1, ...
    if not re.match(rf"(gradient_tape|{re.escape(network)}\w*|functional\w*)/", name):
        return "update"
    if "Conv2D" in kind:
        return "convolutions"
    return "products" if "MatMul" in kind else "other layers"


def union_length(intervals: list[tuple[int, int]]) -> int:
    """Returns the length of the union of intervals of start and end."""
    covered, reached = 0, 0
    for start, end in sorted(intervals):
        covered += max(0, end - max(start, reached))
        reached = max(reached, end)
    return covered


def read_profile(directory: pathlib.Path) -> list[Operation]:
    """Returns every operation of the host in a profile."""
    from tensorflow.tsl.profiler.protobuf import xplane_pb2

    (file,) = directory.rglob("*.xplane.pb")
    space = xplane_pb2.XSpace.FromString(file.read_bytes())
    found = []
    for plane in space.planes:
        for line in plane.lines:
            for event in line.events:
                name = plane.event_metadata[event.metadata_id].name
                told = {plane.stat_metadata[stat.metadata_id].name for stat in event.stats}
                compiled = "hlo_op" in told
                is_plain = re.fullmatch(r"[^:\s]+:_?[A-Z]\w+", name)
                if compiled or is_plain and not name.endswith(_CONTAINERS):
                    start = line.timestamp_ns * 1000 + event.offset_ps
                    end = start + event.duration_ps
                    found.append(Operation(name, line.name, start, end, compiled))
    return found


def shares(operations: list[Operation], network: str) -> dict[str, float]:
    """Returns each part's share of all operations' time, and the share of `idle` time.

    Args:
        operations: operations of a profile.
        network: name of the Keras model.
    """
    times = Counter()
    for operation in operations:
        times[part_of(operation, network)] += operation.end - operation.start
    intervals = [(operation.start, operation.end) for operation in operations]
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
            return shares(read_profile(pathlib.Path(directory)), training.model.name)

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
