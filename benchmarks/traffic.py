"""Communication between the workers of a training, and the expected efficiency on many GPUs.

    python -m benchmarks.traffic [--node=h100] [--reduce_precision=bfloat16] [--batch_per_gpu=32]

Nothing is measured: bytes and operations are counted in the networks, and a step's time is modelled
from the rates assumed by the flags. --node sets the rates of the links, which their own flags
override. A step computes, then reduces everything at once: the two do not overlap. Reduction is a
ring over all GPUs (Patarasuk and Yuan, 2009): each GPU sends 2 (n - 1) / n of the bytes, over the
slowest link of the ring, in 2 (n - 1) messages. In bfloat16, the gradients have half the bytes;
statistics and signals stay in float32 and use a separate ring: twice the messages.
"""

import json

from absl import flags

from benchmarks import flops
from benchmarks.reduction import efficiency, reduced_bytes, reduction_seconds
from trainer import command, hardware, models
from trainer.recipes import RECIPES
from trainer.settings import declared

# Defaults of the flags with these names: the assumed rates of a ring between the GPUs of a node and
# between two nodes.
NODES = {
    "a100": {"nvlink_gbytes": 200.0, "nic_gbytes": 25.0},
    "h100": {"nvlink_gbytes": 480.0, "nic_gbytes": 50.0},
}
_PRECISIONS = [
    precision
    for precision in declared(hardware.Placement)["reduce_precision"].choices
    if precision != "auto"
]

flags.DEFINE_enum("node", "a100", NODES.keys(), "The kind of node, which sets its links' GB/s.")
flags.DEFINE_enum("reduce_precision", "float32", _PRECISIONS, "Dtype of the gradients' sum.")
flags.DEFINE_integer("batch_per_gpu", 32, "Images of each GPU in a step.", lower_bound=1)
flags.DEFINE_float("gpu_tflops", 100.0, "TFLOP/s that a GPU reaches in these networks.")
flags.DEFINE_integer("gpus_per_node", 8, "GPUs that a node has.", lower_bound=1)
flags.DEFINE_float("nvlink_gbytes", None, "GB/s between GPUs of a node; default: as --node.")
flags.DEFINE_float("nic_gbytes", None, "GB/s between two nodes; default: as --node.")
flags.DEFINE_float("latency_us", 10.0, "Microseconds of each message of the ring.")

FLAGS = flags.FLAGS

_ASSUMED = (
    "node", "reduce_precision", "batch_per_gpu", "gpu_tflops", "gpus_per_node", "nvlink_gbytes",
    "nic_gbytes", "latency_us",
)  # fmt: skip
GPUS = (8, 64, 256)


def _assumptions() -> dict:
    """Returns the assumptions by flag name: given values, or else those of the node type."""
    given = {name: FLAGS[name].value for name in _ASSUMED}
    return given | {name: rate for name, rate in NODES[FLAGS.node].items() if given[name] is None}


def _links(assumed: dict) -> dict:
    """Returns the assumptions for `reduction_seconds`, in its units."""
    return {
        "gpus_per_node": assumed["gpus_per_node"],
        "nvlink": assumed["nvlink_gbytes"] * 1e9,
        "nic": assumed["nic_gbytes"] * 1e9,
        "latency": assumed["latency_us"] * 1e-6,
    }


def _row(name: str, trains_all: bool, assumed: dict) -> dict:
    model = models.build(name, models.Architecture(train_backbone=trains_all))
    vectors = reduced_bytes(model, assumed["reduce_precision"])
    per_image = flops.training(model)
    computing = assumed["batch_per_gpu"] * per_image / (assumed["gpu_tflops"] * 1e12)
    links = _links(assumed)
    reducing = {
        gpus: sum(reduction_seconds(vector, gpus, **links) for vector in vectors) for gpus in GPUS
    }
    return {
        "model": name,
        "trained": "all" if trains_all else "head",
        "collectives": len(vectors),
        "reduced_bytes": sum(vectors),
        "flops_per_image": per_image,
        "computing_ms": 1e3 * computing,
        "efficiency": {gpus: efficiency(computing, seconds) for gpus, seconds in reducing.items()},
    }


def _rows(assumed: dict) -> list[dict]:
    rows = []
    for name in models.NAMES:
        seed_trains_all = RECIPES["seed"][name]["train_backbone"] or name == "lenet"
        for trains_all in [True] if seed_trains_all else [False, True]:
            rows.append(_row(name, trains_all, assumed))
    return rows


def main() -> None:
    """Prints a row per model, and everything as JSON."""
    assumed = _assumptions()
    rows = _rows(assumed)
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
    print(json.dumps({"benchmark": "traffic", "assumed": assumed, "rows": rows}))


if __name__ == "__main__":
    command.run(main)
