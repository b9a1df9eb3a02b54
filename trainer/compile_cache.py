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

from cxr_command import whole_file
from cxr_command.checksums import sha256_of
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
        self._asked = directory is not None
        # Of this user alone: what lies there is run.
        default = cache_root() / f"xla-{os.getuid()}"
        self._root = pathlib.Path(directory) if directory else default
        self.folder = self._root / _machine_digest()

    def use(self) -> None:
        """Makes XLA read and write the folder. Call it before TensorFlow's devices are listed.

        Raises:
            UserError: a folder that was asked for cannot be made, or others can write to it. One
                that was not asked for is then done without, which the log says.
        """
        if not (self._asked or _NVIDIA.exists()):
            return
        if _DIRECTORY_FLAG in os.environ.get(_FLAGS, ""):
            logging.info("compile cache: as %s says", _FLAGS)
            return
        if obstacle := self._make():
            if self._asked:
                raise UserError(f"--compile_cache_dir: {obstacle}; give a directory of your own")
            logging.warning("compile cache: off, because %s", obstacle)
            return
        removed = self._remove_unsealed()
        logging.info(
            "compile cache: %s (%d executables%s)", self.folder, len(self._executables()),
            f"; {removed} that were damaged or not finished are removed" if removed else "",
        )  # fmt: skip
        flags = os.environ.get(_FLAGS, "")
        os.environ[_FLAGS] = f"{flags} {_DIRECTORY_FLAG}={self.folder}".strip()

    def seal(self) -> None:
        """Writes the digests of new executables; without its digest none is used again."""
        if f"{_DIRECTORY_FLAG}={self.folder}" not in os.environ.get(_FLAGS, ""):
            return
        with contextlib.suppress(OSError):  # A full disk costs the next run its compilation.
            for path in self._executables():
                digest = path.with_name(path.name + _DIGEST)
                if not digest.exists():
                    with whole_file.writing(digest, shared=True) as partial:
                        partial.write_text(sha256_of(path))

    def _executables(self) -> list[pathlib.Path]:
        return sorted(self.folder.glob("*.pb")) if self.folder.is_dir() else []

    def _make(self) -> str | None:
        """Makes the folder; says what is in the way, as a clause."""
        try:
            self.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            statuses = [path.stat() for path in (self._root, self.folder)]
        except OSError as error:
            return f"{self.folder} cannot be made ({error.strerror})"
        if any(status.st_uid != os.getuid() for status in statuses):
            return f"{self._root} belongs to somebody else, and what lies there is run"
        if any(status.st_mode & (stat.S_IWGRP | stat.S_IWOTH) for status in statuses):
            return f"others can write to {self._root}, and what lies there is run"
        return None

    def _remove_unsealed(self) -> int:
        removed = 0
        for path in self._executables():
            digest = path.with_name(path.name + _DIGEST)
            with contextlib.suppress(FileNotFoundError):  # Another process was faster.
                if not (digest.exists() and digest.read_text() == sha256_of(path)):
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
