"""Facts about this machine from drivers, libraries and TensorFlow, without conclusions."""

import ctypes
import dataclasses
import importlib.util
import os
import pathlib
import shutil
import subprocess
from collections.abc import Callable, Sequence

import psutil
import tensorflow as tf

# Libraries of CUDA 12, as opened by TensorFlow: display name, soname and version function.
LIBRARIES: dict[str, tuple[str, str | None]] = {
    "CUDA driver": ("libcuda.so.1", "cuDriverGetVersion"),
    "CUDA runtime": ("libcudart.so.12", "cudaRuntimeGetVersion"),
    "cuDNN": ("libcudnn.so.9", "cudnnGetVersion"),
    "NCCL": ("libnccl.so.2", "ncclGetVersion"),
    "cuBLAS": ("libcublas.so.12", None),
    "cuBLASLt": ("libcublasLt.so.12", None),
    "cuFFT": ("libcufft.so.11", None),
    "cuSOLVER": ("libcusolver.so.11", None),
    "cuSPARSE": ("libcusparse.so.12", None),
}
GPU_COLUMNS = (
    "name", "driver_version", "compute_cap", "memory.total", "memory.free", "power.limit",
    "power.default_limit", "mig.mode.current",
)  # fmt: skip
_LIBDEVICE, _PTXAS = "nvvm/libdevice/libdevice.10.bc", "bin/ptxas"
_SECONDS = 10


@dataclasses.dataclass(frozen=True)
class Library:
    """A shared library.

    Attributes:
        version: result of its version function, 0 if it has none; None if it could not be loaded.
        error: the loader's error message.
    """

    version: int | None
    error: str = ""


@dataclasses.dataclass(frozen=True, kw_only=True)
class Facts:
    """Facts about one machine.

    Attributes:
        device_files: names in /dev that begin with nvidia.
        nvidia_smi: one row of `GPU_COLUMNS` for each GPU; None if the program is missing or fails.
        nvidia_smi_error: why `nvidia_smi` is None.
        processes: other processes on the GPUs, one line each.
        nvlinks: number of active links between GPUs.
        libraries: the libraries by their names in `LIBRARIES`.
        libdevice: path at which XLA finds libdevice; None if it does not.
        ptxas: path at which XLA finds ptxas; None if it does not.
        is_cuda_build: whether TensorFlow was built with CUDA.
        capabilities: targets of its binaries, such as `sm_80` and `compute_90`.
        visible_gpus: number of GPUs listed by TensorFlow.
        visible_devices: the variable CUDA_VISIBLE_DEVICES; None if it is not set.
        shared_memory: free bytes of /dev/shm.
        cores: number of cores available to this process.
        memory: available memory, in bytes.
    """

    device_files: list[str]
    nvidia_smi: list[list[str]] | None
    nvidia_smi_error: str
    processes: list[str]
    nvlinks: int
    libraries: dict[str, Library]
    libdevice: str | None
    ptxas: str | None
    is_cuda_build: bool
    capabilities: list[str]
    visible_gpus: int
    visible_devices: str | None
    shared_memory: int
    cores: int
    memory: int


def may_have_gpus(facts: Facts) -> bool:
    """Whether a machine without GPUs in TensorFlow appears to have some."""
    return bool(facts.device_files or facts.nvidia_smi is not None)


def gather() -> Facts:
    """Collects the facts; takes a second, or several if a driver is slow."""
    rows, error = _nvidia_smi(f"--query-gpu={','.join(GPU_COLUMNS)}")
    processes, _ = _nvidia_smi("--query-compute-apps=pid,process_name,used_memory")
    build = tf.sysconfig.get_build_info()
    shared = pathlib.Path("/dev/shm")  # noqa: S108 - it is asked for its size.
    return Facts(
        device_files=sorted(path.name for path in pathlib.Path("/dev").glob("nvidia[0-9]*")),
        nvidia_smi=rows,
        nvidia_smi_error=error,
        processes=[", ".join(row) for row in processes or [] if row[0] != str(os.getpid())],
        nvlinks=_nvlinks(),
        libraries={name: _load(*library) for name, library in LIBRARIES.items()},
        libdevice=_cuda_file(_LIBDEVICE),
        ptxas=_cuda_file(_PTXAS) or shutil.which("ptxas"),
        is_cuda_build=bool(build["is_cuda_build"]),
        capabilities=list(build.get("cuda_compute_capabilities", ())),
        visible_gpus=len(tf.config.list_physical_devices("GPU")),
        visible_devices=os.environ.get("CUDA_VISIBLE_DEVICES"),
        shared_memory=shutil.disk_usage(shared).free if shared.exists() else 0,
        cores=len(os.sched_getaffinity(0)),
        memory=psutil.virtual_memory().available,
    )


def _nvidia_smi(query: str) -> tuple[list[list[str]] | None, str]:
    """Returns the rows printed by nvidia-smi; or None, and the reason."""
    said, error = _said(["nvidia-smi", query, "--format=csv,noheader,nounits"])
    if said is None:
        return None, error
    rows = [[cell.strip() for cell in line.split(",")] for line in said.splitlines()]
    # Warnings may be printed between the rows.
    rows = [row for row in rows if len(row) == query.count(",") + 1]
    return (rows, "") if rows else (None, "nvidia-smi lists nothing")


def _nvlinks() -> int:
    said, _ = _said(["nvidia-smi", "nvlink", "--status"])
    return (said or "").count("GB/s")


def _said(command: Sequence[str]) -> tuple[str | None, str]:
    try:
        done = subprocess.run(  # noqa: S603
            command, capture_output=True, text=True, timeout=_SECONDS, check=False
        )
    except FileNotFoundError:
        return None, f"there is no {command[0]}"
    except OSError as error:
        return None, f"{command[0]} cannot be started ({error.strerror})"
    except subprocess.TimeoutExpired:
        return None, f"{command[0]} did not answer within {_SECONDS} seconds"
    if done.returncode:
        return None, " ".join((done.stdout + done.stderr).split())
    return done.stdout, ""


def _pip_folders() -> list[pathlib.Path]:
    """Returns the folders of NVIDIA's pip packages, where TensorFlow and XLA look first."""
    spec = importlib.util.find_spec("nvidia")
    parents = spec.submodule_search_locations if spec else None
    return [folder for parent in parents or () for folder in pathlib.Path(parent).iterdir()]


def _load(soname: str, version_function: str | None) -> Library:
    found = [path for folder in _pip_folders() for path in folder.glob(f"lib/{soname}")]
    try:
        library = ctypes.CDLL(str(found[0]) if found else soname)
    except OSError as error:
        return Library(None, str(error))
    if version_function is None:
        return Library(0)
    return Library(_version(getattr(library, version_function, None)))


def _version(function: Callable[..., int] | None) -> int:
    if function is None:
        return 0
    if function.__name__ == "cudnnGetVersion":  # The only one that returns the number itself.
        return int(function())
    number = ctypes.c_int(0)
    function(ctypes.byref(number))
    return number.value


def _cuda_file(name: str) -> str | None:
    """Returns the path at which XLA looks for a file of the CUDA toolkit."""
    roots = [folder for folder in _pip_folders() if folder.name == "cuda_nvcc"]
    roots += [pathlib.Path(os.environ[name]) for name in ("CUDA_DIR",) if name in os.environ]
    roots += [pathlib.Path("/usr/local/cuda"), pathlib.Path("/opt/cuda")]
    return next((str(root / name) for root in roots if (root / name).exists()), None)
