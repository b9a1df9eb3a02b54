"""What a run computes on, as asked for."""

import dataclasses
import math

from trainer.settings import section, setting


@section("Hardware")
@dataclasses.dataclass(frozen=True)
class Placement:
    """Devices, and how they compute.

    Attributes:
        strategy: how the work is distributed.
        precision: Keras dtype policy; `auto` is bfloat16 or float16 where the GPU multiplies it
            fast, float32 elsewhere.
        xla: whether XLA compiles the forward and backward pass; `auto` is what a trial finds faster
            on GPUs, and off for CPUs, where XLA would lose the oneDNN kernels, and for
            deterministic training on GPUs.
            The optimizer's update has none to lose: `auto` compiles it everywhere.
        virtual_devices: splits the CPU into so many logical devices and uses them; 0 does not.
        reduce_precision: in which gradients are summed over the replicas; `auto` is float32.
            TensorFlow 2.21 cannot sum bfloat16 by NCCL.
        compile_cache_dir: where XLA's executables are kept; None: in the cache folder, on GPUs
            alone.
        require_gpu: whether a machine without a GPU, or with one that TensorFlow cannot use, is
            refused.
        worker_timeout: seconds without a sign of life after which another worker is lost.
    """

    strategy: str = setting(
        "mirrored",
        "Distribution strategy.",
        choices=("one_device", "mirrored", "multi_worker"),
    )
    precision: str = setting(
        "auto",
        "Keras dtype policy.",
        choices=("auto", "float32", "mixed_bfloat16", "mixed_float16"),
    )
    xla: str = setting(
        "auto",
        "Compile with XLA; auto: on GPUs if a trial finds that faster; not on CPUs, nor with "
        "--deterministic.",
        choices=("auto", "on", "off"),
    )
    virtual_devices: int = setting(
        0, "Split the CPU into this many logical devices.", within=(0, math.inf)
    )
    reduce_precision: str = setting(
        "auto",
        "Dtype of the gradients' sum over replicas; auto: float32.",
        choices=("auto", "float32", "bfloat16"),
    )
    compile_cache_dir: str | None = setting(
        None, "Directory of XLA's compiled programs; default: in the cache folder, GPUs only.",
        is_fixed=False,
    )  # fmt: skip
    require_gpu: bool = setting(
        False, "Exit if there is no GPU, instead of training on the CPU.", is_fixed=False
    )
    worker_timeout: float = setting(
        60.0,
        "Seconds without a heartbeat after which a worker counts as lost and this one exits.",
        within=(1, math.inf),
        is_fixed=False,
    )
