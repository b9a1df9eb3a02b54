"""What a node gives: its ceilings, then every model at 1, 2, ... N devices, and what limits each.

Usage, on a node:

    python -m benchmarks.node

and, on a CPU, on virtual devices that share it:

    python -m benchmarks.node --virtual_devices=2 --models=lenet --batch_size=4 --steps=2

Each number of devices is measured in a process of its own, which sees no other GPU. The batch of a
device stays the same. A step's time is split in three: `input`, the measured wait for batches;
`reduction`, the bytes of the gradients over the measured bandwidth of the all-reduce, which is what
it takes at least; `compute`, the rest. The largest is what limits. `of product` is the share of
what a large matrix product reaches on as many devices: the MFU on GPUs.
"""

import json
import os

from absl import flags

from benchmarks import MODELS
from benchmarks.choice import define_choice
from benchmarks.machine import describe
from benchmarks.paired import Contestant, alternate, serve
from benchmarks.roofline import utilisation
from cxr_command.runner import Command

_CEILINGS = "ceilings"
_FROZEN = {"frozen": False, "full": True}


def device_counts(devices: int) -> list[int]:
    """The powers of two below the number of devices, and that number."""
    counts = [1]
    while counts[-1] * 2 < devices:
        counts.append(counts[-1] * 2)
    return counts + ([devices] if devices > 1 else [])


def split_step(seconds: float, input_share: float, reduction_seconds: float) -> dict[str, float]:
    """Splits a step's time.

    Args:
        seconds: of the step.
        input_share: share of it that was waited for input.
        reduction_seconds: what the reduction takes at least.

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

    devices = hardware.resolve(hardware.Placement("mirrored", "auto", "auto", virtual_devices))
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
    name, mode = what.split(":")
    training = Training(
        name, devices, batch_size * devices.num_replicas, train_backbone=_FROZEN[mode]
    )
    constants = {
        "flops_per_image": flops.training(training.model),
        "reduced_bytes": sum(reduced_bytes(training.model, devices.reduce_precision)),
    }
    serve(lambda: training.train(steps) | constants)


def _measure(what: str, count: int) -> dict:
    """What a process of so many devices measures in its second turn, after tracing."""
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
    return alternate({what: contestant}, 1)[what][0]


def _gpus() -> list[str]:
    """The GPUs that this process may use, as CUDA_VISIBLE_DEVICES names them."""
    chosen = os.environ.get("CUDA_VISIBLE_DEVICES")
    if chosen is not None:
        return [gpu for gpu in chosen.split(",") if gpu]
    import tensorflow as tf

    return [str(index) for index in range(len(tf.config.list_physical_devices("GPU")))]


def _place(point: dict, ceiling: dict, count: int, batch_size: int, shared: bool) -> dict:
    """Sets a rate beside the ceilings of as many devices."""
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
        f"XLA {'on' if resolved['xla'] else 'off'}; reduction {largest['collective']}"
    )
    for count, found in ceilings.items():
        reduced = found["all_reduce_bytes_per_second"]
        print(
            f"  {count} device(s): matrix product {found['matrix_product_flops'] / 1e12:.3f} "
            f"TFLOP/s, memory {found['memory_bytes_per_second'] / 1e9:.1f} GB/s"
            + (f", all-reduce {reduced / 1e9:.2f} GB/s" if reduced else "")
        )


def _print_row(name: str, mode: str, row: dict) -> None:
    shares = row["shares"]
    print(
        f"{name:12}{mode:8}{row['devices']:8}{row['images_per_second']:12.1f}"
        f"{row['of_matrix_product']:12.1%}{row['efficiency']:12.2f}   {row['limit']:11}"
        f"input {shares['input']:.1%}, reduction {shares['reduction']:.1%}",
        flush=True,
    )


def _define_flags() -> None:
    define_choice("models", MODELS, "Which models.")
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
    counts = device_counts(options.virtual_devices or len(_gpus()))
    ceilings = {count: _measure(_CEILINGS, count) for count in counts}
    _print_ceilings(ceilings)
    print(f"{'':20}{'devices':>8}{'images/s':>12}{'of product':>12}{'efficiency':>12}   limit")
    rows = []
    for name in options.models:
        # LeNet has no backbone to freeze.
        for mode in ("full",) if name == "lenet" else _FROZEN:
            for count in counts:
                point = _measure(f"{name}:{mode}", count)
                row = _place(
                    point, ceilings[count], count, options.batch_size, bool(options.virtual_devices)
                )
                first = rows[-1]["first"] if count > 1 else row["images_per_second"]
                shared = 1 if options.virtual_devices else count
                row["first"], row["efficiency"] = first, row["images_per_second"] / first / shared
                rows.append({"model": name, "mode": mode, **row})
                _print_row(name, mode, row)
    result = {"benchmark": "node", "machine": describe(), "batch_size": options.batch_size}
    print(json.dumps(result | {"ceilings": ceilings, "rows": rows}))


if __name__ == "__main__":
    Command(_main, _define_flags).run()
