"""The requested devices, precision and compilation of a run."""

import dataclasses
import math

from trainer.settings import section, setting


@section("Hardware")
@dataclasses.dataclass(frozen=True)
class Placement:
    """The settings for devices and how they compute.

    Attributes:
        strategy: how the work is distributed.
        precision: Keras dtype policy; `auto` is bfloat16 or float16 where the GPU multiplies it
            fast, float32 elsewhere.
        xla: whether XLA compiles the forward and backward pass; on GPUs, `auto` runs a trial and
            takes the faster variant. It is off on CPUs, where XLA would replace the oneDNN kernels,
            and for deterministic training on GPUs. `auto` compiles the optimizer's update
            everywhere, as it uses no such kernels.
        virtual_devices: number of logical devices to split the CPU into and use; 0: no split.
        reduce_precision: dtype in which gradients are summed over the replicas; `auto` is float32.
            TensorFlow 2.21 cannot sum bfloat16 by NCCL.
        compile_cache_dir: where XLA's executables are cached; None: the user's cache folder, with
            GPUs only.
        require_gpu: whether to fail if there is no GPU that TensorFlow can use.
        worker_timeout: seconds without a sign of life after which another worker counts as lost.
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
