"""Description of the machine that a figure was measured on."""

import importlib.metadata
import importlib.util
import os
import pathlib
import platform
import shutil
import subprocess

import psutil


def describe() -> dict:
    """Describes this machine, without TensorFlow, to keep a parent process small.

    Returns:
        `processor`, `cores` available to this process, `memory_gib`, `load` (average of the last
        minute: above `cores`, other work disturbed the figures), `gpus` with name and driver, and
        the versions of Python, TensorFlow and, if installed, PyTorch.
    """
    found = {
        "processor": _processor(),
        "cores": len(os.sched_getaffinity(0)),
        "memory_gib": round(psutil.virtual_memory().total / 2**30, 1),
        "load": round(os.getloadavg()[0], 1),
        "gpus": _gpus(),
        "python": platform.python_version(),
        "tensorflow": importlib.metadata.version("tensorflow"),
    }
    if importlib.util.find_spec("torch"):
        found["torch"] = importlib.metadata.version("torch")
    return found


def _gpus() -> list[str]:
    found = shutil.which("nvidia-smi")
    if not found:
        return []
    query = [found, "--query-gpu=name,driver_version", "--format=csv,noheader"]
    done = subprocess.run(query, capture_output=True, text=True, check=False)  # noqa: S603
    return done.stdout.splitlines() if done.returncode == 0 else []


def _processor() -> str:
    listing = pathlib.Path("/proc/cpuinfo")
    lines = listing.read_text().splitlines() if listing.exists() else []
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor()
