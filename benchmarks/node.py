"""Performance of a node: its ceilings, every model at 1, 2, ... N devices, and the bottlenecks.

Usage, on a node:

    python -m benchmarks.node [--minutes=20] [--xla=off,auto]

and, on a CPU, on virtual devices that share it:

    python -m benchmarks.node --virtual_devices=2 --models=lenet --batch_size=4 --steps=2

Each number of devices is measured in a separate process, which sees no other GPU. The batch size
per device is constant. A step's time is split in three: `input`, the measured wait for batches;
`reduction`, the bytes of the gradients divided by the measured bandwidth of the all-reduce, a lower
limit; `compute`, the rest. The largest is the bottleneck. `of product` is the share of the FLOP/s
of a large matrix product on the same devices: the MFU on GPUs.

Models that compile fast come first: XLA takes minutes for DenseNet-169. When the time is up, or
after Ctrl-C, the last line still holds all measurements, and names those that are missing.
"""

import json
import os
import time
from collections.abc import Iterator
from typing import NamedTuple

from absl import flags

from benchmarks import MODELS
from benchmarks.choice import define_choice
from benchmarks.clock import Clock
from benchmarks.machine import describe
from benchmarks.paired import Contestant, alternate, serve
from benchmarks.roofline import utilisation
from cxr_command.runner import Command

_CEILINGS = "ceilings"
_FROZEN = {"frozen": False, "full": True}
_FAST_TO_COMPILE_FIRST = ("lenet", "vgg19", "resnet101", "densenet169")


class Way(NamedTuple):
    """A training configuration to measure.

    Attributes:
        model: name of the model.
        mode: `frozen` or `full`: whether the backbone is trained.
        xla: as for `trainer.main`.
        devices: number of devices.
    """

    model: str
    mode: str
    xla: str
    devices: int

    def __str__(self) -> str:
        """Text such as `vgg19 full on 2`."""
        named = {"auto": "", "on": " with XLA", "off": " without XLA"}[self.xla]
        return f"{self.model} {self.mode}{named} on {self.devices}"


class OutOfTime(Exception):
    """The time is up."""


def device_counts(devices: int) -> list[int]:
    """Returns the powers of two below the number of devices, and that number."""
    counts = [1]
    while counts[-1] * 2 < devices:
        counts.append(counts[-1] * 2)
    return counts + ([devices] if devices > 1 else [])


def split_step(seconds: float, input_share: float, reduction_seconds: float) -> dict[str, float]:
    """Splits a step's time into input, reduction and compute.

    Args:
        seconds: duration of the step.
        input_share: share of it spent waiting for input.
        reduction_seconds: minimum duration of the reduction.

    Returns:
        Shares of `input`, `reduction` and `compute`, whose sum is 1.
    """
    reduction = min(reduction_seconds / seconds, 1 - input_share)
    return {
        "input": input_share,
        "reduction": reduction,
        "compute": 1 - input_share - reduction,
    }


def _serve(what: str, virtual_devices: int, batch_size: int, steps: int, quick: bool) -> None:
    from benchmarks import ceilings, flops
    from benchmarks.reduction import reduced_bytes
    from benchmarks.training import Training
    from trainer import hardware
    from trainer.memory import memory_told

    name, mode, xla = (what.split(":") + ["", "auto"])[:3]
    devices = hardware.resolve(hardware.Placement("mirrored", "auto", xla, virtual_devices))
    if what == _CEILINGS:
        rows, mib = (256, 4) if quick else (None, None)
        serve(
            lambda: {
                "hardware": devices.summary(),
                "matrix_product_flops": ceilings.matrix_product(devices, rows),
                "memory_bytes_per_second": ceilings.memory_bandwidth(devices, mib),
                "all_reduce_bytes_per_second": ceilings.all_reduce_bandwidth(devices, mib or 64),
            }
        )
        return
    with memory_told(f"train {name} with {batch_size} images a device", "lower --batch_size"):
        training = Training(
            name, devices, batch_size * devices.num_replicas, train_backbone=_FROZEN[mode]
        )
        constants = {
            "xla": devices.xla,
            "flops_per_image": flops.training(training.model),
            "reduced_bytes": sum(reduced_bytes(training.model, devices.reduce_precision)),
        }
        serve(lambda: training.train(steps) | constants)


def _measure(what: str, count: int, clock: Clock) -> dict:
    """Returns the second turn's results of a process with this many devices, after tracing.

    Raises:
        OutOfTime: the time was up before it finished.
        ValueError: the process failed; the message says why.
    """
    if clock.left() == 0:
        raise OutOfTime
    options = flags.FLAGS
    arguments = [
        f"--serve={what}",
        f"--batch_size={options.batch_size}",
        f"--steps={options.steps}",
    ]
    arguments += ["--quick"] if options.quick else []
    environment = {}
    if options.virtual_devices:
        arguments.append(f"--virtual_devices={count}")
    else:
        environment["CUDA_VISIBLE_DEVICES"] = ",".join(_gpus()[:count])
    contestant = Contestant("benchmarks.node", arguments, environment)
    try:
        with contestant.killed_after(clock.left()):
            return alternate({what: contestant}, 1)[what][0]
    except ValueError:
        if clock.left() == 0:
            raise OutOfTime from None
        raise


def _gpus() -> list[str]:
    """Returns the GPUs available to this process, as in CUDA_VISIBLE_DEVICES."""
    chosen = os.environ.get("CUDA_VISIBLE_DEVICES")
    if chosen is not None:
        return [gpu for gpu in chosen.split(",") if gpu]
    import tensorflow as tf

    return [str(index) for index in range(len(tf.config.list_physical_devices("GPU")))]


def _place(point: dict, ceiling: dict, count: int, batch_size: int, shared: bool) -> dict:
    """Relates a rate to the ceilings of the same number of devices."""
    rate = point["images_per_second"]
    bandwidth = ceiling["all_reduce_bytes_per_second"]
    shares = split_step(
        seconds=batch_size * count / rate,
        input_share=point["input"],
        reduction_seconds=point["reduced_bytes"] / bandwidth if bandwidth else 0.0,
    )
    product = ceiling["matrix_product_flops"] * (1 if shared else count)
    return {
        "devices": count,
        **utilisation(rate, point["flops_per_image"], product),
        "shares": shares,
        "limit": max(shares, key=shares.__getitem__),
    }


def _print_ceilings(ceilings: dict[int, dict]) -> None:
    resolved = ceilings[1]["hardware"]
    largest = ceilings[max(ceilings)]["hardware"]
    print(
        f"devices: {', '.join(largest['devices'])}; precision {resolved['precision']}; "
        f"reduction {largest['collective']}"
    )
    for count, found in ceilings.items():
        reduced = found["all_reduce_bytes_per_second"]
        print(
            f"  {count} device(s): matrix product {found['matrix_product_flops'] / 1e12:.3f} "
            f"TFLOP/s, memory {found['memory_bytes_per_second'] / 1e9:.1f} GB/s"
            + (f", all-reduce {reduced / 1e9:.2f} GB/s" if reduced else "")
        )


def _print_row(row: dict) -> None:
    shares = row["shares"]
    print(
        f"{row['model']:12}{row['mode']:8}{'XLA' if row['xla'] else '':4}{row['devices']:8}"
        f"{row['images_per_second']:12.1f}{row['of_matrix_product']:12.1%}"
        f"{row['efficiency']:12.2f}   {row['limit']:11}"
        f"input {shares['input']:.1%}, reduction {shares['reduction']:.1%}",
        flush=True,
    )


def _ways(counts: list[int]) -> list[Way]:
    """Returns all configurations to measure, in order."""
    options = flags.FLAGS
    return [
        Way(model, mode, xla, count)
        for model in options.models
        for xla in options.xla
        # LeNet has no backbone to freeze.
        for mode in (("full",) if model == "lenet" else _FROZEN)
        for count in counts
    ]


def _rows(ways: list[Way], ceilings: dict[int, dict], clock: Clock, missing: dict) -> Iterator:
    """Measures the configurations; reports why one cannot be measured."""
    options, firsts = flags.FLAGS, {}
    shared = bool(options.virtual_devices)
    for way in ways:
        started, count = time.monotonic(), way.devices
        try:
            point = _measure(f"{way.model}:{way.mode}:{way.xla}", count, clock)
        except ValueError as error:
            missing[str(way)] = str(error)
            print(f"{way}: {error}", flush=True)
            continue
        row = _place(point, ceilings[count], count, options.batch_size, shared)
        rate = row["images_per_second"]
        first = firsts.setdefault(way[:3], rate / (1 if shared else count))
        row |= {"first": first, "efficiency": rate / first / (1 if shared else count)}
        row |= {"xla": point["xla"], "seconds": time.monotonic() - started}
        del missing[str(way)]
        yield {"model": way.model, "mode": way.mode, **row}


def _define_flags() -> None:
    define_choice("models", MODELS, "Which models.", _FAST_TO_COMPILE_FIRST)
    define_choice("xla", ("auto", "on", "off"), "Whether XLA compiles; each in turn.", ["auto"])
    flags.DEFINE_float("minutes", None, "Stop after so many.", lower_bound=0)
    flags.DEFINE_integer("virtual_devices", 0, "Split the CPU into so many.", lower_bound=0)
    flags.DEFINE_integer("batch_size", 64, "Batch size of each device.", lower_bound=1)
    flags.DEFINE_integer("steps", 30, "Steps that are timed.", lower_bound=1)
    flags.DEFINE_bool("quick", False, "Small matrices and arrays: to try the command out.")
    flags.DEFINE_string("serve", None, "Measure this when told to.")


def _main() -> None:
    options = flags.FLAGS
    if options.serve:
        _serve(
            options.serve,
            options.virtual_devices,
            options.batch_size,
            options.steps,
            options.quick,
        )
        return
    clock = Clock(options.minutes)
    counts = device_counts(options.virtual_devices or len(_gpus()))
    ways = _ways(counts)
    ceilings, rows = {}, []
    missing = dict.fromkeys(map(str, ways), "not measured")
    try:
        for count in counts:
            ceilings[count] = _measure(_CEILINGS, count, clock)
        _print_ceilings(ceilings)
        print(f"{'':24}{'devices':>8}{'images/s':>12}{'of product':>12}{'efficiency':>12}   limit")
        for row in _rows(ways, ceilings, clock, missing):
            rows.append(row)
            _print_row(row)
    except OutOfTime:
        print(
            f"The {options.minutes:g} minutes are over, and not measured are "
            f"{', '.join(missing)}; raise --minutes, or choose by --models and --xla."
        )
    finally:
        result = {"benchmark": "node", "machine": describe(), "batch_size": options.batch_size}
        print(json.dumps(result | {"ceilings": ceilings, "rows": rows, "missing": missing}))


if __name__ == "__main__":
    Command(_main, _define_flags).run()
