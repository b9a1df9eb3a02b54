"""Checkpoints: what a run needs to go on after an interruption at any moment.

Each is a directory that is written beside its place and then renamed, so that it is whole or
absent; a thread does that while training goes on. What was written but damaged later is found by
TensorFlow's checksums.
"""

import dataclasses
import json
import pathlib
import shutil
from collections.abc import Callable, Mapping
from concurrent.futures import Future, ThreadPoolExecutor

import numpy as np
import tensorflow as tf
from absl import logging

from trainer.errors import UserError
from trainer.training.progress import Progress

_NEWEST_KEPT = 2
_PARTIAL, _STATE = "partial", "state"


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
        """Finds the newest checkpoint that can be read; says which newer ones are damaged.

        Those are deleted, as the run will come to where they were made once more.
        """
        for path in reversed(self._all()):
            try:
                _read_whole(path)
            except Exception as error:  # TensorFlow's reader raises a dozen types.
                reason = (str(error).splitlines() or [type(error).__name__])[0]
                logging.warning("%s is damaged (%s): going back to the one before", path, reason)
                if self._writes:
                    shutil.rmtree(path, ignore_errors=True)
            else:
                return path
        return None

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
            tf.raw_ops.SaveV2(
                prefix=str(partial / _STATE),
                tensor_names=list(state),
                shape_and_slices=[""] * len(state),
                tensors=list(state.values()),
            )
            progress.write(partial / "progress.json")
            partial.rename(self._directory / name)
        except (tf.errors.OpError, OSError) as error:
            shutil.rmtree(partial, ignore_errors=True)
            reason = (str(error).splitlines() or [type(error).__name__])[0]
            raise UserError(
                f"checkpoint {name} could not be written to {self._directory} ({reason}); "
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
    return Progress.read(path / "progress.json")


def read_state(path: pathlib.Path, shapes: Mapping[str, tf.TensorShape]) -> dict[str, np.ndarray]:
    """Reads what was saved.

    Args:
        path: a checkpoint that `Checkpoints.newest_whole` found.
        shapes: what is expected in it, by name.

    Raises:
        UserError: it holds something else, as those of earlier versions of this project do.
    """
    reader = tf.train.load_checkpoint(str(path / _STATE))
    stored = reader.get_variable_to_shape_map()
    if stored != {name: shape.as_list() for name, shape in shapes.items()}:
        raise UserError(
            f"{path} was written by another version of this project, which keeps the state of a "
            "training in another form: go on with that version, or give a new --workdir"
        )
    return {name: reader.get_tensor(name) for name in stored}


def _read_whole(path: pathlib.Path) -> None:
    """Reads every value of a checkpoint, which compares the checksums."""
    read_progress(path)
    reader = tf.train.load_checkpoint(str(path / _STATE))
    for name in reader.get_variable_to_shape_map():
        reader.get_tensor(name)


def _is_of_best_epoch(path: pathlib.Path, progress: Progress) -> bool:
    """Whether a checkpoint was made at the end of the best epoch."""
    try:
        then = read_progress(path)
    except (OSError, TypeError, json.JSONDecodeError):
        return False
    return then.step == 0 and then.epochs == progress.best_epoch
