"""Checkpoints: what a run needs to go on after an interruption at any moment.

Each is a directory that is written beside its place and then renamed, so that it is whole or
absent; a thread does that while training goes on. The state is a NumPy archive, whose checksums
find what was damaged later. TensorFlow's own format cannot be read below a directory whose name
holds `[`, `*` or `?`, which its reader takes for a pattern.
"""

import dataclasses
import pathlib
import shutil
import zipfile
import zlib
from collections.abc import Callable, Mapping
from concurrent.futures import Future, ThreadPoolExecutor

import numpy as np
import tensorflow as tf
from absl import logging

from trainer.errors import UserError
from trainer.training.progress import Progress

_NEWEST_KEPT = 2
_PARTIAL, _STATE, _PROGRESS, _DAMAGED = "partial", "state.npz", "progress.json", "damaged-"
# What reading raises if bytes are missing or are not those written. An error of the system, such as
# one of a network file system, is none of them: the file may be whole.
_DAMAGE = (
    FileNotFoundError,
    EOFError,
    KeyError,
    TypeError,
    ValueError,
    zipfile.BadZipFile,
    zlib.error,
)


# Versions before 0.2 kept a checkpoint of TensorFlow's, which begins with this file.
_INDEX_OF_BEFORE = "state.index"


class Checkpoints:
    """The checkpoints of a run, named after the epochs finished and the steps taken since."""

    def __init__(self, directory: pathlib.Path, *, writes: bool = True) -> None:
        """Names their directory; creates nothing.

        Args:
            directory: where they lie.
            writes: whether this process writes any; one of several workers does.
        """
        self._directory, self._writes = directory, writes
        self._writer = ThreadPoolExecutor(1, thread_name_prefix="checkpoint")
        self._writing: Future[None] | None = None

    def newest_whole(self) -> pathlib.Path | None:
        """Finds the newest checkpoint that can be read, and sets newer ones aside.

        What is damaged gets the prefix `damaged-`: the run will come to where it was made once
        more.

        Returns:
            The checkpoint; None if none was ever made.

        Raises:
            UserError: one cannot be read, but may be whole; or all of them are damaged.
        """
        damaged = []
        for path in reversed(self._all()):
            try:
                _read_whole(path)
            except _DAMAGE as error:
                damaged.append(f"{path.name} ({_first_line(error)})")
                logging.warning("%s is damaged (%s)", path, _first_line(error))
            except OSError as error:
                raise UserError(
                    f"checkpoint {path} cannot be read ({_first_line(error)}) and may be whole; "
                    "nothing was changed: run the same command again once it can be"
                ) from error
            else:
                self._set_aside(damaged_paths=self._all()[-len(damaged) :] if damaged else [])
                return path
        if damaged:
            raise UserError(
                f"no checkpoint in {self._directory} can be used, all are damaged: "
                f"{', '.join(damaged)}; put a copy of one in its place, or give a new --workdir"
            )
        return None

    def _set_aside(self, damaged_paths: list[pathlib.Path]) -> None:
        for path in damaged_paths if self._writes else ():
            aside = path.with_name(_DAMAGED + path.name)
            shutil.rmtree(aside, ignore_errors=True)  # Of the same checkpoint, damaged before.
            path.rename(aside)

    def save(self, read_state: Callable[[], Mapping[str, tf.Tensor]], progress: Progress) -> None:
        """Begins to save a checkpoint, after the one before has been written.

        A thread writes it while training goes on. It keeps this checkpoint, the newest before it
        and the best epoch's, and deletes others.

        Args:
            read_state: gives what is to be saved by name, tensors that stay as they are.
            progress: where the run stands.

        Raises:
            UserError: as `wait`, of the checkpoint before.
        """
        name = f"epoch-{progress.epochs:05d}-step-{progress.step:07d}"
        self.wait()
        if self._writes and not (self._directory / name).exists():
            progress = dataclasses.replace(progress)  # The run goes on from it.
            self._writing = self._writer.submit(self._write, name, read_state(), progress)

    def wait(self) -> None:
        """Waits until the checkpoint that is being written is whole.

        Raises:
            UserError: the disk is full, or the directory cannot be written to. Earlier
                checkpoints are as they were.
        """
        writing, self._writing = self._writing, None
        if writing:
            writing.result()

    def _write(self, name: str, state: Mapping[str, tf.Tensor], progress: Progress) -> None:
        partial = self._directory / _PARTIAL
        try:
            shutil.rmtree(partial, ignore_errors=True)
            partial.mkdir(parents=True)
            arrays = {name: tensor.numpy() for name, tensor in state.items()}
            np.savez(partial / _STATE, allow_pickle=False, **arrays)
            progress.write(partial / _PROGRESS)
            partial.rename(self._directory / name)
        except (tf.errors.OpError, OSError) as error:
            shutil.rmtree(partial, ignore_errors=True)
            raise UserError(
                f"checkpoint {name} could not be written to {self._directory} "
                f"({_first_line(error)}); "
                "earlier ones are intact: make room, then run the same command again"
            ) from error
        self._delete_old(progress)

    def _all(self) -> list[pathlib.Path]:
        return sorted(self._directory.glob("epoch-*-step-*"))

    def _delete_old(self, progress: Progress) -> None:
        for path in self._all()[:-_NEWEST_KEPT]:
            if not _is_of_best_epoch(path, progress):
                shutil.rmtree(path)


def read_progress(path: pathlib.Path) -> Progress:
    """Where the run stood at a checkpoint."""
    return Progress.read(path / _PROGRESS)


def read_state(path: pathlib.Path, shapes: Mapping[str, tf.TensorShape]) -> dict[str, np.ndarray]:
    """Reads what was saved.

    Args:
        path: a checkpoint that `Checkpoints.newest_whole` found.
        shapes: what is expected in it, by name.

    Raises:
        UserError: it holds something else, as those of other versions of this project do.
    """
    with np.load(path / _STATE, allow_pickle=False) as archive:
        state = {name: archive[name] for name in archive.files}
    expected = {name: tuple(shape.as_list()) for name, shape in shapes.items()}
    if {name: array.shape for name, array in state.items()} != expected:
        raise _of_another_version(path)
    return state


def _read_whole(path: pathlib.Path) -> None:
    """Reads every value of a checkpoint, which compares the checksums."""
    if (path / _INDEX_OF_BEFORE).exists():
        raise _of_another_version(path)
    read_progress(path)
    with np.load(path / _STATE, allow_pickle=False) as archive:
        for name in archive.files:
            archive[name]


def _of_another_version(path: pathlib.Path) -> UserError:
    return UserError(
        f"{path} was written by another version of this project, which keeps the state of a "
        "training in another form: go on with that version, or give a new --workdir"
    )


def _first_line(error: BaseException) -> str:
    return (str(error).splitlines() or [type(error).__name__])[0]


def _is_of_best_epoch(path: pathlib.Path, progress: Progress) -> bool:
    """Whether a checkpoint was made at the end of the best epoch."""
    try:
        then = read_progress(path)
    except (OSError, TypeError, ValueError):
        return False
    return then.step == 0 and then.epochs == progress.best_epoch
