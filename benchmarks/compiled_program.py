"""The program that XLA compiles for a training step on GPUs, inspected without a GPU.

    python -m benchmarks.compiled_program [--models=resnet101] [--precisions=mixed_bfloat16]

Nothing is run or measured. TensorFlow translates the engine's forward and backward pass, in the
strong recipe with random weights, for XLA on GPUs; its instructions are counted before XLA
optimizes them. `counted` are the operations that `benchmarks.flops` counts in the network's graph:
these include padding and layers other than convolutions and dense layers, which the program's
counts do not. Bytes are those read and written by each convolution and dot product.
"""

import json
from collections.abc import Callable

import keras
import tensorflow as tf
from absl import flags

from benchmarks import MODELS, flops
from benchmarks.choice import define_choice
from benchmarks.hlo import LOW_PRECISION, Program, read_program
from benchmarks.random_images import SHAPE
from benchmarks.training import in_memory
from cxr_command.runner import Command
from trainer import models
from trainer.data.input import distribute_batches
from trainer.hardware import Hardware
from trainer.models.fused_normalization import fuse_normalization
from trainer.training import config as configuration
from trainer.training.engine import Engine
from trainer.training.interruption import StopRequest
from trainer.training.phase_engine import build_engine
from trainer.training.phases import plan

PRECISIONS = ("float32", "mixed_bfloat16", "mixed_float16")
_SEED = 0
# Side of the smallest images accepted by the strong recipe of every model.
_LEAST_SIZE = 40


def compiled_parts(
    name: str, precision: str, *, batch_size: int, image_size: int
) -> tuple[Engine, list[tf.types.experimental.ConcreteFunction]]:
    """Returns the engine of a network in the strong recipe, and what XLA compiles of its step.

    Args:
        name: name of the model; all its weights are trained, starting from random ones.
        precision: Keras dtype policy.
        batch_size: images per step.
        image_size: side of the images, in pixels.

    Returns:
        The engine, and the result of `Engine.compiled_parts`.
    """
    strategy = tf.distribute.OneDeviceStrategy("/cpu:0")
    devices = Hardware(
        strategy, ("/cpu:0",), precision, xla=True, xla_update=True, collective="none"
    )
    config = configuration.make("strong", name, {"weights": "none"})
    shape = (image_size, image_size, 1)
    keras.utils.set_random_seed(_SEED)
    model = models.build(name, config.network, image_shape=shape, precision=precision)
    examples = in_memory(batch_size, shape)
    engine = build_engine(
        plan(config.phases, config.optimization, config.network)[0],
        config=config, devices=devices, model=fuse_normalization(model), start=None,
        train_examples=examples, stop_request=StopRequest(),
    )  # fmt: skip
    batches = distribute_batches(examples, strategy, batch_size, augment_seed=_SEED, timed=True)
    return engine, engine.compiled_parts(iter(batches))


def describe(program: Program, batch_size: int) -> dict:
    """Counts a program's instructions.

    Args:
        program: the pass of a training step.
        batch_size: number of images.
    """
    products = program.products()
    casts = program.casts().values()
    return {
        "flops_per_image": program.flops() / batch_size,
        "product_bytes_per_image": program.product_bytes() / batch_size,
        "products": len(products),
        "products_in_low_precision": sum(
            program.float_types([product]) <= set(LOW_PRECISION) for product in products
        ),
        "weights_cast": len(casts),
        "most_casts_of_a_weight": max(map(len, casts), default=0),
        "transposes": len(program.transposes()),
        "in_float64": len(program.in_float64()),
        "host_calls": len(program.host_calls()),
        "dynamic": len(program.dynamic()),
    }


# The columns of the printed table: how to get and format a row's value.
_COLUMNS: dict[str, tuple[Callable[[dict], float], str]] = {
    "GFLOP/image": (lambda row: row["flops_per_image"] / 1e9, ".3f"),
    "counted": (lambda row: row["counted_flops_per_image"] / 1e9, ".3f"),
    "ratio": (lambda row: row["flops_per_image"] / row["counted_flops_per_image"], ".3f"),
    "MB/image": (lambda row: row["product_bytes_per_image"] / 1e6, ".1f"),
    "products": (lambda row: row["products"], ""),
    "16 bits": (lambda row: row["products_in_low_precision"], ""),
    "casts": (lambda row: row["most_casts_of_a_weight"], ""),
    "transposes": (lambda row: row["transposes"], ""),
    "float64": (lambda row: row["in_float64"], ""),
    "host": (lambda row: row["host_calls"], ""),
    "dynamic": (lambda row: row["dynamic"], ""),
}


def _define_flags() -> None:
    define_choice("models", MODELS, "Which models.")
    define_choice("precisions", PRECISIONS, "Which precisions.")
    flags.DEFINE_integer("batch_size", 32, "Batch size.", lower_bound=1)
    flags.DEFINE_integer(
        "image_size", SHAPE[0], "Side of the images, pixels.", lower_bound=_LEAST_SIZE
    )


def _main() -> None:
    options = flags.FLAGS
    sizes = {"batch_size": options.batch_size, "image_size": options.image_size}
    print(f"{'model':12}{'precision':16}{''.join(f'{head:>12}' for head in _COLUMNS)}")
    rows: list[dict] = []
    for name in options.models:
        counted = None
        for precision in options.precisions:
            engine, (step, _) = compiled_parts(name, precision, **sizes)
            counted = counted or flops.training(engine.model)  # The same for all precisions.
            row = {"model": name, "precision": precision, "counted_flops_per_image": counted}
            rows.append(row | describe(read_program(step), options.batch_size))
            cells = (f"{value(rows[-1]):12{kind}}" for value, kind in _COLUMNS.values())
            print(f"{name:12}{precision:16}{''.join(cells)}", flush=True)
    print(json.dumps({"benchmark": "compiled_program", **sizes, "rows": rows}))


if __name__ == "__main__":
    Command(_main, _define_flags).run()
