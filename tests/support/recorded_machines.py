"""Recorded answers of working and broken machines, with the programs' original output."""

import dataclasses

from trainer.diagnosis.facts import LIBRARIES, Facts, Library

A100 = ["NVIDIA A100-SXM4-80GB", "550.54.15", "8.0", "81920", "81037", "400.00", "400.00",
        "Disabled"]  # fmt: skip
VERSIONS = {"CUDA driver": 12040, "CUDA runtime": 12050, "cuDNN": 92400, "NCCL": 22707}

WHOLE = Facts(
    device_files=["nvidia0", "nvidia1"],
    nvidia_smi=[A100, A100],
    nvidia_smi_error="",
    processes=[],
    nvlinks=36,
    libraries={name: Library(VERSIONS.get(name, 0)) for name in LIBRARIES},
    libdevice="/env/nvidia/cuda_nvcc/nvvm/libdevice/libdevice.10.bc",
    ptxas="/env/nvidia/cuda_nvcc/bin/ptxas",
    is_cuda_build=True,
    capabilities=["sm_60", "sm_70", "sm_80", "sm_89", "compute_90"],
    visible_gpus=2,
    visible_devices=None,
    shared_memory=16 * 2**30,
    cores=32,
    memory=200 * 2**30,
)


def _gpu(**cells):
    columns = ("name", "driver", "capability", "total", "free", "limit", "default", "mig")
    return [cells.get(name, value) for name, value in zip(columns, A100, strict=True)]


def _without_nvidia_smi(error, files=()):
    return {"nvidia_smi": None, "nvidia_smi_error": error, "device_files": list(files)} | BLIND


# All tests and benchmarks for GPUs were run on it.
H100 = {
    "nvidia_smi": [
        ["NVIDIA H100 80GB HBM3", "580.159.04", "9.0", "81559", "81076", "700.00", "700.00",
         "Disabled"],
    ],
    "libraries": WHOLE.libraries | {
        "CUDA driver": Library(13000), "CUDA runtime": Library(12090), "cuDNN": Library(91900),
        "NCCL": Library(22800),
    },
    "visible_gpus": 1,
}  # fmt: skip

BLIND = {"visible_gpus": 0}
_NO_LIBRARY = "libcudnn.so.9: cannot open shared object file: No such file or directory"

# Each with the subject of the doctor's first fault, and parts of its finding and remedy.
BROKEN = {
    "no GPU": (
        _without_nvidia_smi("there is no nvidia-smi"),
        ("NVIDIA driver", "no driver and no GPU", "--gpus=all"),
    ),
    "driver updated, not reloaded": (
        _without_nvidia_smi(
            "Failed to initialize NVML: Driver/library version mismatch NVML library version: "
            "550.90",
            ["nvidia0"],
        ),
        ("NVIDIA driver", "Driver/library version mismatch", "reboot"),
    ),
    "kernel module not loaded": (
        _without_nvidia_smi(
            "NVIDIA-SMI has failed because it couldn't communicate with the NVIDIA driver. Make "
            "sure that the latest NVIDIA driver is installed and running."
        ),
        ("NVIDIA driver", "couldn't communicate", "modprobe nvidia"),
    ),
    "container without utilities": (
        _without_nvidia_smi("there is no nvidia-smi", ["nvidia0"]),
        ("NVIDIA driver", "nvidia0 without a working nvidia-smi", "NVIDIA_DRIVER_CAPABILITIES"),
    ),
    "driver of CUDA 11": (
        {"nvidia_smi": [_gpu(driver="470.82.01")]} | BLIND,
        ("NVIDIA driver", "470.82.01, too old for CUDA 12", "525.60"),
    ),
    "cuDNN missing": (
        {"libraries": WHOLE.libraries | {"cuDNN": Library(None, _NO_LIBRARY)}} | BLIND,
        ("cuDNN", _NO_LIBRARY, "requirements-gpu.lock"),
    ),
    "cuDNN 9.3": (
        {"libraries": WHOLE.libraries | {"cuDNN": Library(90300)}},
        ("cuDNN", "9.3, expected 9.19 or later", "requirements-gpu.lock"),
    ),
    "no libdevice": (
        {"libdevice": None},
        ("libdevice", "XLA finds none", "nvidia-cuda-nvcc-cu12"),
    ),
    "no ptxas": ({"ptxas": None}, ("ptxas", "XLA finds none", "--xla=off")),
    "GPUs hidden": (
        {"visible_devices": ""} | BLIND,
        ("GPUs", "sees none of 2: CUDA_VISIBLE_DEVICES=''", "unset it"),
    ),
    "GPUs not seen": (BLIND, ("GPUs", "TensorFlow sees none of 2", "TF_CPP_MAX_VLOG_LEVEL")),
    "Maxwell": (
        {"nvidia_smi": [_gpu(name="Tesla M40", capability="5.2")]},
        ("GPU 0", "Tesla M40, compute capability 5.2", "another GPU"),
    ),
    "TensorFlow without CUDA": (
        {"is_cuda_build": False} | BLIND,
        ("TensorFlow", "built without CUDA", "requirements-gpu.lock"),
    ),
    "small /dev/shm": (
        {"shared_memory": 64 * 2**20},
        ("/dev/shm", "64 MiB free; NCCL needs 256", "--shm-size=8g"),  # noqa: S108
    ),
}

# Training works; parts of the note's finding and remedy.
LIMITED = {
    "a part of the GPUs": ({"visible_gpus": 1, "visible_devices": "1"}, ("GPUs", "1 of 2", "")),
    "memory taken": (
        {"nvidia_smi": [_gpu(free="20000"), A100], "processes": ["4711, python, 60000"]},
        ("GPU 0", "20,000 of 81,920 MiB free", "lower --global_batch_size"),
    ),
    "power limit": (
        {"nvidia_smi": [A100, _gpu(limit="300.00")]},
        ("GPU 1", "limited to 300 of 400 W", "nvidia-smi --id=1 --power-limit=400"),
    ),
    "MIG": (
        {"nvidia_smi": [_gpu(mig="Enabled")]},
        ("GPU 0", "split by MIG", "--strategy=one_device"),
    ),
    "PTX": (
        {"nvidia_smi": [_gpu(name="NVIDIA B200", capability="10.0", driver="570.86.10")]},
        ("GPU 0", "compiles TensorFlow's code at the first start", "CUDA_CACHE_MAXSIZE"),
    ),
    "no NVLink": ({"nvlinks": 0}, ("NVLink", "over PCI Express", "larger batches")),
    "few cores": ({"cores": 4}, ("host", "8 cores feed its GPUs", "--cpus-per-task")),
}


def machine(changes):
    return dataclasses.replace(WHOLE, **changes)
