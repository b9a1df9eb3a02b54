"""A persistent cache of XLA executables, so that a resumed run or the next seed compiles nothing.

XLA trusts every file in its cache folder: a truncated file aborts a training, and a tampered one
may be executed. Each file therefore gets a digest, and files without a matching digest are removed
before XLA reads the folder.
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

# Everything the compiled code depends on. TensorFlow is not asked: once it lists devices, it no
# longer reads its flags.
_PROCESSOR, _NVIDIA = pathlib.Path("/proc/cpuinfo"), pathlib.Path("/proc/driver/nvidia")
_FLAGS, _DIRECTORY_FLAG = "TF_XLA_FLAGS", "--tf_xla_persistent_cache_directory"
_DIGEST = ".sha256"


class CompileCache:
    """A folder of executables for this machine's processors and this version of TensorFlow."""

    def __init__(self, directory: str | None = None) -> None:
        """Determines the folder; creates nothing.

        Args:
            directory: its parent directory; None: the user's cache folder, on machines with a GPU
                only. On a CPU `auto` compiles the update only, and XLA logs a page of irrelevant
                warnings for each executable it reads back.
        """
        self._asked = directory is not None
        # Private to this user, because the files in it are executed.
        default = cache_root() / f"xla-{os.getuid()}"
        self._root = pathlib.Path(directory) if directory else default
        self.folder = self._root / _machine_digest()

    def use(self) -> None:
        """Points XLA at the folder. Call this before TensorFlow lists its devices.

        Raises:
            UserError: a requested folder cannot be created, or other users can write to it. If it
                is the default folder, the cache is disabled instead, which is logged.
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
        """Writes the digests of new executables; an executable without a digest is never reused."""
        if f"{_DIRECTORY_FLAG}={self.folder}" not in os.environ.get(_FLAGS, ""):
            return
        with contextlib.suppress(OSError):  # A full disk only costs the next run its compilation.
            for path in self._executables():
                digest = path.with_name(path.name + _DIGEST)
                if not digest.exists():
                    with whole_file.writing(digest, shared=True) as partial:
                        partial.write_text(sha256_of(path))

    def _executables(self) -> list[pathlib.Path]:
        return sorted(self.folder.glob("*.pb")) if self.folder.is_dir() else []

    def _make(self) -> str | None:
        """Creates the folder; returns what prevents it, as a clause, or None."""
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
            with contextlib.suppress(FileNotFoundError):  # Another process removed it first.
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
