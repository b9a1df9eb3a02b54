"""What the workers of a training send each other, and the efficiency to expect of many GPUs.

    python -m benchmarks.traffic [--batch_per_gpu=32] [--gpu_tflops=100] [--nic_gbytes=25]

Nothing is measured here: bytes and operations are counted in the networks, and a step's time is
modelled from the rates that the flags assume. A step computes, then reduces everything at once: the
two do not overlap. Reduction is a ring over all GPUs (Patarasuk and Yuan, 2009): each GPU sends
2 (n - 1) / n of the bytes, over the slowest link of the ring, in 2 (n - 1) messages.
"""

import json
import math

import keras
from absl import flags

from benchmarks import flops
from trainer import command, models
from trainer.recipes import RECIPES

flags.DEFINE_integer("batch_per_gpu", 32, "Images of each GPU in a step.", lower_bound=1)
flags.DEFINE_float("gpu_tflops", 100.0, "TFLOP/s that a GPU reaches in these networks.")
flags.DEFINE_integer("gpus_per_node", 8, "GPUs that a node has.", lower_bound=1)
flags.DEFINE_float("nvlink_gbytes", 200.0, "GB/s between the GPUs of a node.")
flags.DEFINE_float("nic_gbytes", 25.0, "GB/s between two nodes.")
flags.DEFINE_float("latency_us", 10.0, "Microseconds of each message of the ring.")

FLAGS = flags.FLAGS

_ASSUMED = (
    "batch_per_gpu", "gpu_tflops", "gpus_per_node", "nvlink_gbytes", "nic_gbytes", "latency_us",
)  # fmt: skip
GPUS = (8, 64, 256)
# The batch's weight, the count of losses that are not finite, and the requests to stop.
_SIGNALS = 3
_FLOAT32 = 4


def reduced_bytes(model: keras.Model) -> int:
    """Bytes that the engine sums over the replicas in a step: float32, whatever the precision.

    Args:
        model: a network; what of it is trained counts.

    Returns:
        Gradients, moving statistics of BatchNormalization layers that are trained, and signals.
    """
    statistics = [
        variable
        for layer in model.layers
        if isinstance(layer, keras.layers.BatchNormalization) and layer.trainable
        for variable in layer.non_trainable_variables
    ]
    values = sum(math.prod(v.shape) for v in [*model.trainable_variables, *statistics])
    return _FLOAT32 * (values + _SIGNALS)


def ring_bytes(reduced: int, gpus: int) -> float:
    """Bytes that each GPU sends, and receives, to sum `reduced` bytes over all."""
    return 2 * (gpus - 1) / gpus * reduced


def reduction_seconds(
    reduced: int, gpus: int, *, gpus_per_node: int, nvlink: float, nic: float, latency: float
) -> float:
    """Seconds of a ring over all GPUs.

    Args:
        reduced: bytes to be summed.
        gpus: number of GPUs.
        gpus_per_node: how many share a node.
        nvlink: bytes a second between the GPUs of a node.
        nic: bytes a second between two nodes.
        latency: seconds of a message.
    """
    slowest = nvlink if gpus <= gpus_per_node else min(nvlink, nic)
    return ring_bytes(reduced, gpus) / slowest + 2 * (gpus - 1) * latency


def efficiency(computing: float, reducing: float) -> float:
    """Share of a step's time in which GPUs compute, so images per second beside one GPU's."""
    return computing / (computing + reducing)


def _rows() -> list[dict]:
    links = {
        "gpus_per_node": FLAGS.gpus_per_node,
        "nvlink": FLAGS.nvlink_gbytes * 1e9,
        "nic": FLAGS.nic_gbytes * 1e9,
        "latency": FLAGS.latency_us * 1e-6,
    }
    rows = []
    for name in models.NAMES:
        seed_trains_all = RECIPES["seed"][name]["train_backbone"] or name == "lenet"
        for trains_all in [True] if seed_trains_all else [False, True]:
            model = models.build(name, train_backbone=trains_all)
            reduced, per_image = reduced_bytes(model), flops.training(model)
            computing = FLAGS.batch_per_gpu * per_image / (FLAGS.gpu_tflops * 1e12)
            rows.append(
                {
                    "model": name,
                    "trained": "all" if trains_all else "head",
                    "reduced_bytes": reduced,
                    "flops_per_image": per_image,
                    "computing_ms": 1e3 * computing,
                    "efficiency": {
                        gpus: efficiency(computing, reduction_seconds(reduced, gpus, **links))
                        for gpus in GPUS
                    },
                }
            )
    return rows


def main() -> None:
    """Prints a row for each model, and all of it as JSON."""
    rows = _rows()
    heads = "".join(f"{f'{gpus} GPUs':>10}" for gpus in GPUS)
    print(
        f"{'model':12}{'trained':8}{'MB reduced':>12}{'GFLOP/image':>13}{'ms computing':>14}{heads}"
    )
    for row in rows:
        shares = "".join(f"{share:10.0%}" for share in row["efficiency"].values())
        print(
            f"{row['model']:12}{row['trained']:8}{row['reduced_bytes'] / 1e6:12.1f}"
            f"{row['flops_per_image'] / 1e9:13.1f}{row['computing_ms']:14.1f}{shares}"
        )
    assumed = {name: FLAGS[name].value for name in _ASSUMED}
    print(json.dumps({"benchmark": "traffic", "assumed": assumed, "rows": rows}))


if __name__ == "__main__":
    command.run(main)
