"""Checkpoints: what a run needs to go on after an interruption at any moment.

Each is a directory that is written beside its place and then renamed, so that it is whole or
absent; a thread does that while training goes on. The state is a NumPy archive, whose checksums
find what was damaged later. TensorFlow's own format cannot be read below a directory whose name
holds `[`, `*` or `?`, which its reader takes for a pattern.
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
# Of the checkpoints that earlier versions saved with TensorFlow.
_OLD_FORMAT_FILE = "state.index"


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
            Unreadable: one cannot be read, but may be whole.
            Damaged: all of them are damaged.
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
            shutil.rmtree(aside, ignore_errors=True)  # Of the same checkpoint, damaged before.
            path.rename(aside)

    def save(
        self,
        read_state: Callable[[], Mapping[str, tf.Tensor]],
        progress: Progress,
        then: Callable[[], None] | None = None,
    ) -> None:
        """Begins to save a checkpoint, after the one before has been written.

        A thread writes it while training goes on. It keeps this checkpoint, the newest before it
        and the best epoch's, and deletes others.

        Args:
            read_state: gives what is to be saved by name, tensors that stay as they are.
            progress: where the run stands.
            then: is called by the thread once the checkpoint is whole.

        Raises:
            UserError: as `wait`, of the checkpoint before.
        """
        name = _name_of(progress)
        self.wait()
        if self._writes and not (self._directory / name).exists():
            progress = dataclasses.replace(progress)  # The run goes on from it.
            self._writing = self._writer.submit(self._write, name, read_state(), progress, then)

    def raise_if_failed(self) -> None:
        """Raises as `wait` does, if what is being written has failed already; waits for nothing."""
        if self._writing and self._writing.done():
            self.wait()

    def wait(self) -> None:
        """Waits until the checkpoint that is being written is whole.

        Raises:
            UserError: the disk is full, or the directory cannot be written to. Earlier
                checkpoints are as they were.
        """
        if self._writing:
            wait([self._writing])  # A second Ctrl-C ends this; then `finish` waits once more.
            writing, self._writing = self._writing, None
            writing.result()

    def finish(self) -> None:
        """Waits as `wait` does, while another error is on its way: a failure is only logged."""
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
            # Views: `numpy()` would copy the whole state once more.
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
        """The checkpoints, the oldest first; a glob would take what it may not list for empty."""
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
    state = _read_arrays(path)
    expected = {name: tuple(shape.as_list()) for name, shape in shapes.items()}
    if {name: array.shape for name, array in state.items()} != expected:
        raise _of_another_version(path)
    return state


def _read_whole(path: pathlib.Path) -> None:
    """Reads every value of a checkpoint, which compares the checksums."""
    if (path / _OLD_FORMAT_FILE).exists():
        raise _of_another_version(path)
    progress = read_progress(path)
    if _name_of(progress) != path.name:
        raise Damaged(f"its {_PROGRESS} is of {_name_of(progress)}")
    _read_arrays(path)


def _read_arrays(path: pathlib.Path) -> dict[str, np.ndarray]:
    """Reads the state, which compares its checksums.

    Raises:
        Damaged: it is missing, or the bytes are not those written.
        Unreadable: it cannot be read, and may be whole.
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
