"""Hardware utilisation of each model, relative to a large matrix product in the same run.

Usage:

    python -m benchmarks.roofline [--models=lenet,resnet101,vgg19,densenet169] [--batch_size=16]

Operations are counted in the graph, a multiplication and an addition as two; the backward pass
covers the weights trained by the seed recipe. On a GPU, the share of the matrix product is the MFU,
the model FLOP utilisation, relative to the measured peak instead of the data sheet's.
"""

import json
import statistics

from absl import flags

from benchmarks import MODELS
from benchmarks.choice import define_choice
from benchmarks.machine import describe
from benchmarks.paired import Contestant, alternate, serve
from cxr_command.runner import Command


def _serve(name: str, batch_size: int, steps: int) -> None:
    from benchmarks import ceilings, flops
    from benchmarks.training import Training
    from trainer import hardware

    devices = hardware.resolve(hardware.Placement("one_device", "auto", "auto", 0))
    training = Training(name, devices, batch_size)
    flops_per_image = {
        "forward": flops.forward(training.model),
        "training": flops.training(training.model),
    }

    def work() -> dict:
        rates = {"forward": training.evaluate(steps), "training": training.train(steps)}
        product = ceilings.matrix_product(devices)
        return {"matrix_product_flops": product, "hardware": devices.summary()} | {
            kind: utilisation(rate["images_per_second"], flops_per_image[kind], product)
            for kind, rate in rates.items()
        }

    serve(work)


def utilisation(images_per_second: float, flops_per_image: int, ceiling: float) -> dict:
    """Relates a rate to a ceiling.

    Args:
        images_per_second: the rate.
        flops_per_image: floating-point operations of one image.
        ceiling: ceiling of the same devices, in FLOP/s.

    Returns:
        The first two arguments, `flops` (achieved, FLOP/s) and `of_matrix_product`, their share of
        the ceiling.
    """
    achieved = images_per_second * flops_per_image
    return {
        "images_per_second": images_per_second,
        "flops_per_image": flops_per_image,
        "flops": achieved,
        "of_matrix_product": achieved / ceiling,
    }


def _define_flags() -> None:
    define_choice("models", MODELS, "Which models.")
    flags.DEFINE_integer("rounds", 3, "Turns that count.", lower_bound=1)
    flags.DEFINE_integer("steps", 4, "Steps in a turn.", lower_bound=1)
    flags.DEFINE_integer("batch_size", 16, "Batch size.", lower_bound=1)
    flags.DEFINE_bool("serve", False, "Work when told to.")


def _main() -> None:
    options = flags.FLAGS
    sizes = [f"--batch_size={options.batch_size}", f"--steps={options.steps}"]
    if options.serve:
        _serve(options.models[0], options.batch_size, options.steps)
        return
    print(f"{'':24}{'GFLOP/image':>14}{'images/s':>12}{'GFLOP/s':>12}{'of matrix product':>20}")
    results = {}
    for name in options.models:
        contestant = Contestant("benchmarks.roofline", ["--serve", f"--models={name}", *sizes])
        turns = alternate({name: contestant}, options.rounds)[name]
        # The turn with the median training rate, so that the values are consistent.
        turns.sort(key=lambda turn: turn["training"]["images_per_second"])
        results[name] = turns[len(turns) // 2]
        for kind in ("forward", "training"):
            row = results[name][kind]
            print(
                f"{name + ' ' + kind:24}{row['flops_per_image'] / 1e9:14.3f}"
                f"{row['images_per_second']:12.2f}{row['flops'] / 1e9:12.1f}"
                f"{row['of_matrix_product']:20.1%}"
            )
    product = statistics.median(found["matrix_product_flops"] for found in results.values())
    print(f"a large matrix product reaches {product / 1e9:.1f} GFLOP/s")
    result = {"benchmark": "roofline", "machine": describe(), "batch_size": options.batch_size}
    print(json.dumps(result | {"models": results}))


if __name__ == "__main__":
    Command(_main, _define_flags).run()
