"""Checkpoints: the state a run needs to resume after an interruption at any time.

A checkpoint is a directory that a thread writes under a temporary name and then renames while
training continues, so it is either complete or absent. The state is a NumPy archive, whose
checksums detect later damage. TensorFlow's own format is not used because its reader treats `[`,
`*` and `?` in a directory name as a pattern.
"""

import dataclasses
import io
import os
import pathlib
import re
import shutil
from collections.abc import Callable, Mapping
from concurrent.futures import Future, ThreadPoolExecutor, wait
from typing import Any

import numpy as np
import tensorflow as tf
from absl import logging

from cxr_command.foreign_text import first_line
from trainer.errors import Damaged, Unreadable, UserError
from trainer.parsing import parsing
from trainer.training.progress import Progress

_NEWEST_KEPT = 2
_PARTIAL, _STATE, _PROGRESS, _DAMAGED = "partial", "state.npz", "progress.json", "damaged-"
_NAME = re.compile(r"epoch-\d{5,}-step-\d{7,}")
# Files of the checkpoints that earlier versions saved with TensorFlow.
_OLD_FORMAT_FILE = "state.index"


class Checkpoints:
    """The checkpoints of a run, named after the finished epochs and the steps taken since."""

    def __init__(self, directory: pathlib.Path, *, writes: bool = True) -> None:
        """Stores the directory's path; creates nothing.

        Args:
            directory: directory of the checkpoints.
            writes: whether this process writes checkpoints; exactly one worker does.
        """
        self._directory, self._writes = directory, writes
        self._writer = ThreadPoolExecutor(1, thread_name_prefix="checkpoint")
        self._writing: Future[None] | None = None

    def newest_whole(self) -> pathlib.Path | None:
        """Finds the newest readable checkpoint and renames newer, damaged ones.

        Damaged checkpoints get the prefix `damaged-`, as the run will reach the same step again.

        Returns:
            The checkpoint; None if there is none.

        Raises:
            Unreadable: a checkpoint cannot be read but may be intact.
            Damaged: all checkpoints are damaged.
        """
        damaged: list[pathlib.Path] = []
        for path in reversed(self._all()):
            try:
                _read_whole(path)
            except Damaged as damage:
                damaged.append(path)
                logging.warning("%s is damaged: %s", path, damage)
            else:
                self._set_aside(damaged)
                return path
        if damaged:
            names = ", ".join(path.name for path in damaged)
            raise Damaged(
                f"no checkpoint in {self._directory} can be used because all are damaged: {names}; "
                "restore a copy of one, or give a new --workdir"
            )
        return None

    def _set_aside(self, damaged: list[pathlib.Path]) -> None:
        for path in damaged if self._writes else ():
            aside = path.with_name(_DAMAGED + path.name)
            shutil.rmtree(aside, ignore_errors=True)  # An earlier damaged copy.
            path.rename(aside)

    def save(
        self,
        read_state: Callable[[], Mapping[str, tf.Tensor]],
        progress: Progress,
        then: Callable[[], None] | None = None,
    ) -> None:
        """Starts to save a checkpoint, after waiting for the previous one.

        A thread writes it while training continues. This checkpoint, the previous one and that of
        the best epoch are kept; others are deleted.

        Args:
            read_state: returns the tensors to save by name; later steps must not modify them.
            progress: the progress of the run.
            then: called by the thread once the checkpoint is complete.

        Raises:
            UserError: as `wait`, for the previous checkpoint.
        """
        name = _name_of(progress)
        self.wait()
        if self._writes and not (self._directory / name).exists():
            progress = dataclasses.replace(progress)  # The run modifies the original.
            self._writing = self._writer.submit(self._write, name, read_state(), progress, then)

    def raise_if_failed(self) -> None:
        """Raises as `wait` does if the current write has already failed; does not wait."""
        if self._writing and self._writing.done():
            self.wait()

    def wait(self) -> None:
        """Waits until the current checkpoint is complete.

        Raises:
            UserError: the disk is full, or the directory cannot be written to. Earlier checkpoints
                are unchanged.
        """
        if self._writing:
            wait([self._writing])  # A second Ctrl-C interrupts this; `finish` then waits again.
            writing, self._writing = self._writing, None
            writing.result()

    def finish(self) -> None:
        """Waits as `wait` does while another error propagates; a failure is only logged."""
        try:
            self.wait()
        except UserError as error:
            logging.error("%s", error)

    def _write(
        self,
        name: str,
        state: Mapping[str, tf.Tensor],
        progress: Progress,
        then: Callable[[], None] | None,
    ) -> None:
        partial = self._directory / _PARTIAL
        try:
            shutil.rmtree(partial, ignore_errors=True)
            partial.mkdir(parents=True)
            # Views, as `numpy()` would copy the whole state again.
            arrays: dict[str, Any] = {name: np.asarray(tensor) for name, tensor in state.items()}
            np.savez(partial / _STATE, **arrays)
            progress.write(partial / _PROGRESS)
            partial.rename(self._directory / name)  # A folder: it cannot replace an older one.
        except (tf.errors.OpError, OSError) as error:
            shutil.rmtree(partial, ignore_errors=True)
            raise UserError(
                f"checkpoint {name} could not be written to {self._directory} "
                f"({first_line(error)}); "
                "earlier ones are intact: make room, then run the same command again"
            ) from error
        self._delete_old(progress)
        if then:
            then()

    def _all(self) -> list[pathlib.Path]:
        """Lists the checkpoints, oldest first; a glob would hide that a directory is unreadable."""
        try:
            names = os.listdir(self._directory)
        except FileNotFoundError:
            return []
        except OSError as error:
            raise Unreadable(
                f"{self._directory} cannot be listed ({error.strerror}), and may hold checkpoints; "
                "nothing was changed: run the same command again once it can be"
            ) from error
        return sorted(self._directory / name for name in names if _NAME.fullmatch(name))

    def _delete_old(self, progress: Progress) -> None:
        for path in self._all()[:-_NEWEST_KEPT]:
            if not _is_of_best_epoch(path, progress):
                shutil.rmtree(path, onerror=_log_not_deleted)


def _name_of(progress: Progress) -> str:
    return f"epoch-{progress.epochs:05d}-step-{progress.step:07d}"


def read_progress(path: pathlib.Path) -> Progress:
    """Reads the progress of the run stored in a checkpoint."""
    return Progress.read(path / _PROGRESS)


def read_state(path: pathlib.Path, shapes: Mapping[str, tf.TensorShape]) -> dict[str, np.ndarray]:
    """Reads the state stored in a checkpoint.

    Args:
        path: a checkpoint found by `Checkpoints.newest_whole`.
        shapes: the expected shapes, by name.

    Raises:
        UserError: it holds other arrays, as checkpoints of other versions do.
    """
    state = _read_arrays(path)
    expected = {name: tuple(shape.as_list()) for name, shape in shapes.items()}
    if {name: array.shape for name, array in state.items()} != expected:
        raise _of_another_version(path)
    return state


def _read_whole(path: pathlib.Path) -> None:
    """Reads every value of a checkpoint, which verifies the checksums."""
    if (path / _OLD_FORMAT_FILE).exists():
        raise _of_another_version(path)
    progress = read_progress(path)
    if _name_of(progress) != path.name:
        raise Damaged(f"its {_PROGRESS} is of {_name_of(progress)}")
    _read_arrays(path)


def _read_arrays(path: pathlib.Path) -> dict[str, np.ndarray]:
    """Reads the state, which verifies its checksums.

    Raises:
        Damaged: the file is missing or its bytes have changed.
        Unreadable: the file cannot be read but may be intact.
    """
    with parsing(path / _STATE, "the checkpoint before it is used"):
        content = io.BytesIO((path / _STATE).read_bytes())
        with np.load(content, allow_pickle=False) as archive:
            return {name: archive[name] for name in archive.files}


def _log_not_deleted(function: object, path: str, error: tuple) -> None:
    logging.warning("%s could not be deleted (%s)", path, error[1])


def _of_another_version(path: pathlib.Path) -> UserError:
    return UserError(
        f"{path} was written by another version of this project, which stores the "
        "training state differently: resume with that version, or give a new --workdir"
    )


def _is_of_best_epoch(path: pathlib.Path, progress: Progress) -> bool:
    """Whether a checkpoint was made at the end of the best epoch."""
    try:
        then = read_progress(path)
    except (Damaged, Unreadable):
        return False
    return then.step == 0 and then.epochs == progress.best_epoch
