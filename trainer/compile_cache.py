"""Keeps what XLA has compiled, so that a run that goes on, or the next seed, compiles nothing.

XLA keeps its executables in a folder, and believes whatever lies there: a truncated file ends a
training, a changed one may be run. Each file therefore gets a digest beside it, and one without its
digest is removed before XLA can see it.
"""

import contextlib
import hashlib
import os
import pathlib
import platform
import stat

import tensorflow as tf
from absl import logging

from trainer.data.cache_folder import cache_root
from trainer.errors import UserError

# What compiled code depends on. TensorFlow is not asked: once it lists devices it reads no flags.
_PROCESSOR, _NVIDIA = pathlib.Path("/proc/cpuinfo"), pathlib.Path("/proc/driver/nvidia")
_FLAGS, _DIRECTORY_FLAG = "TF_XLA_FLAGS", "--tf_xla_persistent_cache_directory"
_DIGEST = ".sha256"


class CompileCache:
    """A folder of executables of this machine's processors and this version of TensorFlow."""

    def __init__(self, directory: str | None = None) -> None:
        """Names the folder; makes nothing.

        Args:
            directory: below which it lies; None: in the cache folder, and on machines with a GPU
                alone. On a CPU `auto` compiles the update only, and XLA writes a page of needless
                warnings for each executable that it reads back.
        """
        root = pathlib.Path(directory) if directory else cache_root() / "xla"
        self._wanted = directory is not None or _NVIDIA.exists()
        self.folder = root / _machine_digest()

    def use(self) -> None:
        """Makes XLA read and write the folder. Call it before TensorFlow's devices are listed.

        Raises:
            UserError: the folder cannot be made, or belongs to somebody else, whose code would run.
        """
        if not self._wanted:
            return
        if _DIRECTORY_FLAG in os.environ.get(_FLAGS, ""):
            logging.info("compile cache: as %s says", _FLAGS)
            return
        self._make()
        removed = self._remove_unsealed()
        kept = list(self._executables())
        size = sum(path.stat().st_size for path in kept)
        logging.info(
            "compile cache: %s (%d executables, %.0f MB%s)", self.folder, len(kept), size / 1e6,
            f"; {removed} that were damaged or not finished are removed" if removed else "",
        )  # fmt: skip
        flags = os.environ.get(_FLAGS, "")
        os.environ[_FLAGS] = f"{flags} {_DIRECTORY_FLAG}={self.folder}".strip()

    def seal(self) -> None:
        """Writes the digests of new executables; without its digest none is used again."""
        with contextlib.suppress(OSError):  # A full disk costs the next run its compilation.
            for path in self._executables():
                digest = path.with_name(path.name + _DIGEST)
                if not digest.exists():
                    partial = digest.with_name(f"{digest.name}.{os.getpid()}")
                    partial.write_text(_sha256(path))
                    partial.replace(digest)

    def _executables(self) -> list[pathlib.Path]:
        return sorted(self.folder.glob("*.pb")) if self.folder.is_dir() else []

    def _make(self) -> None:
        try:
            self.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            status = self.folder.stat()
        except OSError as error:
            raise UserError(
                f"--compile_cache_dir: {self.folder} cannot be made ({error.strerror}); give "
                "another directory, or set CXR_CACHE_DIR"
            ) from error
        others_write = status.st_mode & (stat.S_IWGRP | stat.S_IWOTH)
        if status.st_uid != os.getuid() or others_write:
            raise UserError(
                f"--compile_cache_dir: others can write to {self.folder}, and what lies there is "
                "run; give a directory of your own"
            )

    def _remove_unsealed(self) -> int:
        removed = 0
        for path in self._executables():
            digest = path.with_name(path.name + _DIGEST)
            if not (digest.exists() and digest.read_text() == _sha256(path)):
                path.unlink()
                digest.unlink(missing_ok=True)
                removed += 1
        return removed


def _machine_digest() -> str:
    files = [_PROCESSOR, _NVIDIA / "version", *sorted(_NVIDIA.glob("gpus/*/information"))]
    lines = [line for file in files if file.exists() for line in file.read_text().splitlines()]
    starts = ("model name", "flags", "NVRM version", "Model:")
    machine = sorted({line for line in lines if line.startswith(starts)})
    key = f"{tf.__version__} {platform.machine()} {machine}"
    return hashlib.sha256(key.encode()).hexdigest()[:16]


def _sha256(path: pathlib.Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
