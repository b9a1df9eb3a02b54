"""Resolves devices, strategy, precision and XLA, in one place, before anything else is built."""

import contextlib
import ctypes
import dataclasses
import functools
import json
import os

import tensorflow as tf
from absl import logging

from trainer.diagnosis import facts, gpus
from trainer.diagnosis.finding import Verdict
from trainer.direct_connections import connect_directly
from trainer.errors import UserError
from trainer.gpu_memory import let_memory_grow
from trainer.peers import Peers
from trainer.placement import Placement

# Tensor cores multiply bfloat16 from compute capability 8.0 on, float16 from 7.0 on.
_BFLOAT16_CAPABILITY, _FLOAT16_CAPABILITY = (8, 0), (7, 0)

# Constants of glibc's malloc.h: no block is mapped on its own (M_MMAP_MAX), and the heap is never
# trimmed (M_TRIM_THRESHOLD). There are as many arenas as replicas (M_ARENA_MAX): threads of one
# replica reuse its memory, and those of different replicas do not contend.
_MALLOC_OPTIONS, _M_ARENA_MAX = {-4: 0, -1: -1}, -8
# Grappler's passes process every replica's step anew. They take seconds per replica of DenseNet-169
# and do not speed up a step of the four networks.
_GRAPPLER_OFF = (
    "layout_optimizer",
    "function_optimization",
    "loop_optimization",
    "shape_optimization",
    "scoped_allocator_optimization",
    "pin_to_host_optimization",
    "implementation_selector",
)


@dataclasses.dataclass(frozen=True)
class Hardware:
    """The resolved devices, strategy, precision and XLA settings of a run.

    Attributes:
        strategy: the tf.distribute strategy.
        devices: names of this process' devices, one per replica.
        precision: Keras dtype policy in effect.
        xla: whether XLA compiles the forward and backward pass.
        xla_update: whether XLA compiles the optimizer's update.
        collective: implementation of the all-reduce: `nccl`, `ring`, or `none` with one replica.
        reduce_precision: dtype in which gradients are summed over the replicas.
        workers: number of processes that train together.
        worker: index of this process among them.
        peers: the other processes.
    """

    strategy: tf.distribute.Strategy
    devices: tuple[str, ...]
    precision: str
    xla: bool
    xla_update: bool
    collective: str
    reduce_precision: str = "float32"
    workers: int = 1
    worker: int = 0
    peers: Peers = Peers({}, 0, 0.0)

    @property
    def num_replicas(self) -> int:
        """Number of replicas that share the global batch."""
        return self.strategy.num_replicas_in_sync

    @property
    def has_gpus(self) -> bool:
        """Whether the replicas run on GPUs."""
        return self.devices[0].startswith("/gpu")

    @property
    def is_chief(self) -> bool:
        """Whether this process writes the run's directory; exactly one worker does."""
        return self.worker == 0

    def summary(self) -> dict:
        """Returns the resolved settings as plain values for config.json."""
        return {
            "devices": list(self.devices),
            "replicas": self.num_replicas,
            "precision": self.precision,
            "xla": self.xla,
            "xla_update": self.xla_update,
            "reduce_precision": self.reduce_precision,
            "collective": self.collective,
            "workers": self.workers,
        }


def resolve(asked: Placement, *, deterministic: bool = False) -> Hardware:
    """Finds the devices and resolves `auto` settings for them.

    Args:
        asked: the requested settings.
        deterministic: whether TensorFlow's operations are made deterministic.

    Returns:
        The resolved hardware, which has been logged.

    Raises:
        UserError: virtual devices were requested after TensorFlow had started, several workers
            without a TF_CONFIG that gives their addresses, or a setting that the GPUs do not
            support.
        WorkerLost: another worker did not start.
    """
    if asked.strategy == "multi_worker" and asked.virtual_devices:
        raise UserError("--virtual_devices goes with one_device and mirrored, not multi_worker")
    devices, gpu = _find_devices(asked)
    if asked.strategy == "one_device":
        devices = devices[:1]
    if gpu is None:
        _prepare_cpu(len(devices))
    tf.config.optimizer.set_experimental_options(dict.fromkeys(_GRAPPLER_OFF, False))
    workers, worker = read_tf_config() if asked.strategy == "multi_worker" else ({}, 0)
    collective = _collective(gpu, max(1, len(workers)) * len(devices))
    if gpu:
        _refuse_what_gpus_cannot(asked, collective, deterministic=deterministic)
    connect_directly(workers.values())
    peers = Peers(workers, worker, asked.worker_timeout)
    with peers.joining():
        strategy = _make_strategy(asked.strategy, tuple(devices), collective)
    may_round = asked.reduce_precision == "bfloat16" and collective != "none"
    hardware = Hardware(
        strategy=strategy,
        devices=tuple(devices),
        precision=auto_precision(gpu) if asked.precision == "auto" else asked.precision,
        xla=gpu is not None and not deterministic if asked.xla == "auto" else asked.xla == "on",
        xla_update=asked.xla != "off",
        collective=collective,
        # With a single replica there is no reduction, so gradients need not be rounded.
        reduce_precision="bfloat16" if may_round else "float32",
        workers=max(1, len(workers)),
        worker=worker,
        peers=peers,
    )
    _log(hardware)
    return hardware


def _prepare_cpu(replicas: int) -> None:
    _keep_freed_memory(replicas)
    logging.info(
        "oneDNN kernels: %s (TF_ENABLE_ONEDNN_OPTS)",
        _on_off(os.environ.get("TF_ENABLE_ONEDNN_OPTS", "1").lower() in ("1", "true")),
    )


def _refuse_what_gpus_cannot(asked: Placement, collective: str, *, deterministic: bool) -> None:
    if deterministic and asked.xla == "on":
        # TensorFlow 2.21: "GPU MaxPool gradient ops do not yet have a deterministic XLA
        # implementation".
        raise UserError(
            "--xla=on: XLA has no deterministic gradient of MaxPool on GPUs; leave out --xla or "
            "--deterministic"
        )
    if collective == "nccl" and asked.reduce_precision == "bfloat16":
        raise UserError(
            "--reduce_precision=bfloat16: TensorFlow cannot sum bfloat16 by NCCL, which GPUs use; "
            "use float32"
        )


def _log(hardware: Hardware) -> None:
    logging.info(
        "devices: %s; replicas: %d; precision: %s; XLA: %s, for the update %s; reduction: %s "
        "in %s; worker %d of %d",
        ", ".join(hardware.devices), hardware.num_replicas, hardware.precision,
        _on_off(hardware.xla), _on_off(hardware.xla_update), hardware.collective,
        hardware.reduce_precision, hardware.worker + 1, hardware.workers,
    )  # fmt: skip


def _on_off(value: bool) -> str:
    return "on" if value else "off"


def read_tf_config() -> tuple[dict[str, str], int]:
    """Reads the addresses of the workers from the environment variable TF_CONFIG.

    Returns:
        `HOST:PORT` of every worker by its task, the chief first, and the index of this process in
        that order.

    Raises:
        UserError: the variable is missing or invalid; the message shows what is expected.
    """
    expected = (
        'expected TF_CONFIG={"cluster": {"worker": ["HOST:PORT", ...]}, '
        '"task": {"type": "worker", "index": 0}} in the environment of every worker'
    )
    text = os.environ.get("TF_CONFIG")
    if not text:
        raise UserError(f"--strategy=multi_worker: TF_CONFIG is not set; {expected}")
    try:
        content = json.loads(text)
        cluster, task = content["cluster"], content["task"]
        workers = {
            f"/job:{kind}/replica:0/task:{index}": address
            for kind in ("chief", "worker")
            for index, address in enumerate(cluster.get(kind, ()))
        }
        own = f"/job:{task['type']}/replica:0/task:{int(task['index'])}"
        return workers, list(workers).index(own)
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise UserError(
            f"--strategy=multi_worker: TF_CONFIG={text} is not valid; {expected}"
        ) from error


def _collective(gpu: tf.config.PhysicalDevice | None, replicas: int) -> str:
    if replicas == 1:
        return "none"
    return "nccl" if gpu else "ring"


# One instance per process: the collectives of a second one would use the same keys.
@functools.cache
def _make_strategy(
    strategy: str, devices: tuple[str, ...], collective: str
) -> tf.distribute.Strategy:
    if strategy == "one_device":
        return tf.distribute.OneDeviceStrategy(devices[0])
    if strategy == "mirrored":
        # TensorFlow chooses the collective by the same rule.
        return tf.distribute.MirroredStrategy(devices)
    implementation = tf.distribute.experimental.CommunicationImplementation
    return tf.distribute.MultiWorkerMirroredStrategy(
        communication_options=tf.distribute.experimental.CommunicationOptions(
            implementation=implementation.NCCL if collective == "nccl" else implementation.RING
        )
    )


def _find_devices(asked: Placement) -> tuple[list[str], tf.config.PhysicalDevice | None]:
    """Returns the names of the devices to use, and the first GPU if they are GPUs."""
    if asked.virtual_devices:
        return _split_cpu(asked.virtual_devices), None
    found = tf.config.list_physical_devices("GPU")
    let_memory_grow(found)
    if found:
        return [f"/gpu:{index}" for index in range(len(found))], found[0]
    _tell_why_no_gpu(asked.require_gpu)
    return ["/cpu:0"], None


def _tell_why_no_gpu(is_required: bool) -> None:
    """Logs why no GPU is used: missing libraries look the same as a machine without GPUs."""
    machine = facts.gather()
    why = next(one for one in gpus.find(machine) if one.verdict == Verdict.FAULT).sentence
    if is_required:
        raise UserError(f"--require_gpu: no GPU was found. {why}. All checks: cxr-doctor")
    if facts.may_have_gpus(machine):
        logging.warning("%s. All checks: cxr-doctor", why)
    logging.warning("no GPU was found: training runs on one CPU device")


def _split_cpu(count: int) -> list[str]:
    cpu = tf.config.list_physical_devices("CPU")[0]
    configured = tf.config.get_logical_device_configuration(cpu) or []
    if len(configured) < count:
        try:
            tf.config.set_logical_device_configuration(
                cpu, [tf.config.LogicalDeviceConfiguration()] * count
            )
        except RuntimeError as error:
            raise UserError(
                f"--virtual_devices={count}: the CPU is already split into {len(configured) or 1}; "
                "start a new process"
            ) from error
    return [f"/cpu:{index}" for index in range(count)]


def _keep_freed_memory(replicas: int) -> None:
    """Makes glibc keep freed memory instead of returning it to the system after every operation.

    Feature maps of a CPU step are blocks of 10 to 100 MB, which glibc maps and unmaps one by one;
    the page faults took a large part of a LeNet step. Other C libraries have no `mallopt`.
    """
    with contextlib.suppress(OSError, AttributeError):
        libc = ctypes.CDLL(None)
        for option, value in (_MALLOC_OPTIONS | {_M_ARENA_MAX: replicas}).items():
            libc.mallopt(option, value)


def auto_precision(gpu: tf.config.PhysicalDevice | None) -> str:
    """Resolves `--precision=auto` to the low precision that the GPU's tensor cores support."""
    if gpu is None:
        return "float32"
    capability = tf.config.experimental.get_device_details(gpu).get("compute_capability", (0, 0))
    if capability >= _BFLOAT16_CAPABILITY:
        return "mixed_bfloat16"
    return "mixed_float16" if capability >= _FLOAT16_CAPABILITY else "float32"
