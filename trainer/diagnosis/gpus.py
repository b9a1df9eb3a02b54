"""Conclusions from the facts of a machine about training on its GPUs."""

import re
from collections.abc import Iterator
from typing import Any

from trainer.diagnosis.facts import GPU_COLUMNS, LIBRARIES, Facts
from trainer.diagnosis.finding import Finding, fault, note, ok

INSTALL = "pip install 'cxr-trainer[gpu]', in a clone -r requirements-gpu.lock"
# Minimum working versions. XLA of TensorFlow 2.21 finds no convolution in cuDNN 9.3 to 9.5
# ("Autotuner could not find any supported configs"); 9.19 was tested on an H100, none in between.
# The NCCL version is TensorFlow's requirement.
FLOORS = {"CUDA runtime": (12, 5), "cuDNN": (9, 19), "NCCL": (2, 27)}
# Minimum driver for CUDA 12, by its minor version compatibility.
DRIVER = (525, 60)
CAPABILITY = (6, 0)
_SHARED = "/dev/shm"  # noqa: S108 - named, not used.
# Shared memory, in bytes, for NCCL's buffers between the GPUs of a node.
_SHARED_MEMORY = 2**28
_GIB, _MIB = 2**30, 2**20
_CORES_PER_GPU = 4


def find(facts: Facts) -> list[Finding]:
    """Returns findings relevant to training on GPUs.

    Args:
        facts: the facts of the machine.

    Returns:
        The findings, ordered so that a fault explains later ones.
    """
    if not facts.is_cuda_build:
        return [fault("TensorFlow", "it was built without CUDA", f"install its own: {INSTALL}")]
    driver = _driver(facts)
    if facts.nvidia_smi is None:
        return [driver]
    gpus = [dict(zip(GPU_COLUMNS, row, strict=True)) for row in facts.nvidia_smi]
    return [
        driver,
        *_libraries(facts),
        *_compilers(facts),
        _visible(facts, len(gpus)),
        *(one for index, gpu in enumerate(gpus) for one in _gpu(index, gpu, facts)),
        *_between_gpus(facts, gpus),
        *_processes(facts),
    ]


def describe(facts: Facts) -> dict[str, Any]:
    """Describes the GPUs for config.json: all that results and speed depend on.

    Args:
        facts: the facts of the machine.

    Returns:
        `names`, `driver` and the known versions of the libraries, as plain values.
    """
    gpus = [dict(zip(GPU_COLUMNS, row, strict=True)) for row in facts.nvidia_smi or ()]
    versions = {
        name: _library_version(name, library.version or 0)
        for name, library in facts.libraries.items()
    }
    return {
        "names": [gpu["name"] for gpu in gpus],
        "driver": gpus[0]["driver_version"] if gpus else None,
        "libraries": {name: _dotted(version) for name, version in versions.items() if version},
    }


def _driver(facts: Facts) -> Finding:
    subject = "NVIDIA driver"
    if facts.nvidia_smi is None:
        if "version mismatch" in facts.nvidia_smi_error:
            return fault(
                subject, facts.nvidia_smi_error, "reboot: the driver was updated but not reloaded"
            )
        if "communicate" in facts.nvidia_smi_error:
            return fault(
                subject, facts.nvidia_smi_error,
                "load its kernel module (modprobe nvidia), or reinstall the driver",
            )  # fmt: skip
        if facts.device_files:
            return fault(
                subject, f"{', '.join(facts.device_files)} without a working nvidia-smi "
                f"({facts.nvidia_smi_error})",
                "in a container set NVIDIA_DRIVER_CAPABILITIES=compute,utility",
            )  # fmt: skip
        return fault(
            subject, f"no driver and no GPU ({facts.nvidia_smi_error})",
            "on a machine with GPUs install the driver; start a container with --gpus=all; under "
            "SLURM ask for --gpus-per-node",
        )  # fmt: skip
    version = facts.nvidia_smi[0][GPU_COLUMNS.index("driver_version")] if facts.nvidia_smi else ""
    if _numbers(version) < DRIVER:
        return fault(
            subject, f"{version}, too old for CUDA 12", f"install {_dotted(DRIVER)} or later"
        )
    return ok(subject, version)


def _libraries(facts: Facts) -> Iterator[Finding]:
    for name, library in facts.libraries.items():
        soname = LIBRARIES[name][0]
        if library.version is None:
            yield fault(name, f"{soname} does not load: {library.error}", _how_to_load(name))
            continue
        version, floor = _library_version(name, library.version), FLOORS.get(name)
        if floor and version and version < floor:
            expected = f"expected {_dotted(floor)} or later"
            yield fault(name, f"{_dotted(version)}, {expected}", INSTALL)
        else:
            yield ok(name, _dotted(version) if version else soname)


def _how_to_load(name: str) -> str:
    if name == "CUDA driver":
        return "it comes with the driver: install that, or start the container with --gpus=all"
    return f"{INSTALL}; unset LD_LIBRARY_PATH if it names another CUDA"


def _library_version(name: str, number: int) -> tuple[int, int] | None:
    """Converts the result of a library's version function to major and minor version."""
    if not number:
        return None
    if name.startswith("CUDA"):
        return number // 1000, number % 1000 // 10
    major, rest = divmod(number, 10_000)
    return major, rest // 100


def _compilers(facts: Facts) -> Iterator[Finding]:
    for name, path in (("libdevice", facts.libdevice), ("ptxas", facts.ptxas)):
        if path:
            yield ok(name, path)
        else:
            yield fault(
                name, "XLA finds none, in NVIDIA's pip packages, CUDA_DIR or /usr/local/cuda",
                f"{INSTALL}, which brings nvidia-cuda-nvcc-cu12, or train with --xla=off",
            )  # fmt: skip


def _visible(facts: Facts, gpus: int) -> Finding:
    subject, hidden = "GPUs", facts.visible_devices
    if facts.visible_gpus == 0:
        if hidden is not None:
            return fault(
                subject, f"TensorFlow sees none of {gpus}: CUDA_VISIBLE_DEVICES={hidden!r}",
                "unset it, or name the indices of GPUs",
            )  # fmt: skip
        return fault(
            subject, f"TensorFlow sees none of {gpus}",
            "fix the libraries above; TF_CPP_MAX_VLOG_LEVEL=1 shows why",
        )  # fmt: skip
    if facts.visible_gpus < gpus:
        why = f"CUDA_VISIBLE_DEVICES={hidden}" if hidden is not None else "it skipped the others"
        return note(subject, f"TensorFlow sees {facts.visible_gpus} of {gpus} ({why})")
    return ok(subject, f"TensorFlow sees {facts.visible_gpus}")


def _gpu(index: int, gpu: dict[str, str], facts: Facts) -> Iterator[Finding]:
    subject, capability = f"GPU {index}", _numbers(gpu["compute_cap"])
    free, total = (_mib(gpu[name]) for name in ("memory.free", "memory.total"))
    memory = "" if total is None or free is None else f", {free:,} of {total:,} MiB free"
    told = f"{gpu['name']}, compute capability {gpu['compute_cap']}{memory}"
    if capability < CAPABILITY:
        yield fault(subject, f"{told}; expected {_dotted(CAPABILITY)} or later", "use another GPU")
        return
    if total and free is not None and free < total / 2:
        yield note(subject, told, "stop the processes below, or lower --global_batch_size")
    else:
        yield ok(subject, told)
    if _needs_ptx(capability, facts):
        yield note(
            subject, "the driver compiles TensorFlow's code at the first start: minutes",
            "keep ~/.nv/ComputeCache, and set CUDA_CACHE_MAXSIZE=4294967296",
        )  # fmt: skip
    limit, default = (_watts(gpu[name]) for name in ("power.limit", "power.default_limit"))
    if limit and default and limit < default:
        yield note(
            subject, f"limited to {limit:.0f} of {default:.0f} W: proportionally slower",
            f"nvidia-smi --id={index} --power-limit={default:.0f}",
        )  # fmt: skip
    if gpu["mig.mode.current"].lower() == "enabled":
        yield note(
            subject, "split by MIG: NCCL cannot connect its instances; a process sees one",
            "train with --strategy=one_device",
        )  # fmt: skip


def _needs_ptx(capability: tuple[int, ...], facts: Facts) -> bool:
    """Whether the binaries lack code for this generation of compute capability.

    `compute_90` in TensorFlow's capabilities means code for 9.0, with PTX for later ones.
    """
    codes = [_capability_of(name) for name in facts.capabilities]
    return not any(code[0] == capability[0] and code <= capability for code in codes)


def _capability_of(name: str) -> tuple[int, int]:
    digits = name.partition("_")[2]
    return int(digits[:-1]), int(digits[-1])


def _between_gpus(facts: Facts, gpus: list[dict[str, str]]) -> Iterator[Finding]:
    if len(gpus) < 2:
        return
    if facts.nvlinks:
        yield ok("NVLink", f"{facts.nvlinks} active links")
    else:
        yield note("NVLink", "none: gradients go over PCI Express", "give each GPU larger batches")
    if facts.shared_memory < _SHARED_MEMORY:
        yield fault(
            _SHARED, f"{facts.shared_memory / _MIB:.0f} MiB free; NCCL needs "
            f"{_SHARED_MEMORY // _MIB}",
            "docker run --shm-size=8g; in Kubernetes an emptyDir of medium Memory there",
        )  # fmt: skip
    else:
        yield ok(_SHARED, f"{facts.shared_memory / _GIB:.1f} GiB free")


def _processes(facts: Facts) -> Iterator[Finding]:
    if facts.processes:
        yield note(
            "other processes", "; ".join(facts.processes), "they share GPU memory and compute time"
        )


def cores_and_memory(facts: Facts) -> list[Finding]:
    """Checks that the host can feed its GPUs."""
    wanted = _CORES_PER_GPU * max(1, len(facts.nvidia_smi or ()))
    found = f"{facts.cores} cores, {facts.memory / _GIB:.1f} GiB of memory available"
    if facts.nvidia_smi and facts.cores < wanted:
        return [note("host", f"{found}; {wanted} cores feed its GPUs", "--cpus-per-task in SLURM")]
    return [ok("host", found)]


def _numbers(text: str) -> tuple[int, ...]:
    return tuple(int(number) for number in re.findall(r"\d+", text)[:2])


def _dotted(version: tuple[int, ...]) -> str:
    return ".".join(map(str, version))


def _mib(text: str) -> int | None:
    return int(text) if text.isdecimal() else None


def _watts(text: str) -> float | None:
    return float(text) if re.fullmatch(r"[\d.]+", text) else None
