"""Checkpoints: what a run needs to go on after an interruption at any moment.

Each is a directory that is written beside its place and then renamed, so that it is whole or
absent. What was written but damaged later is found by TensorFlow's checksums.
"""

import json
import pathlib
import shutil

import tensorflow as tf
from absl import logging

from trainer.errors import UserError
from trainer.training.progress import Progress

_NEWEST_KEPT = 2
_PARTIAL = "partial"


class Checkpoints:
    """The checkpoints of a run, named after the epochs finished and the steps taken since."""

    def __init__(self, directory: pathlib.Path, *, writes: bool = True) -> None:
        """Names their directory; creates nothing.

        Args:
            directory: where they lie.
            writes: whether this process writes any; one of several workers does.
        """
        self._directory, self._writes = directory, writes

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

    def save(self, trackables: dict, progress: Progress) -> None:
        """Saves a checkpoint; keeps it, the newest before it and the best epoch's, deletes others.

        Args:
            trackables: by name, objects that TensorFlow can checkpoint, as `restore` takes them.
            progress: where the run stands.

        Raises:
            UserError: the disk is full, or the directory cannot be written to. Earlier
                checkpoints are as they were.
        """
        name = f"epoch-{progress.epochs:05d}-step-{progress.step:07d}"
        target = self._directory / name
        if not self._writes or target.exists():
            return
        partial = self._directory / _PARTIAL
        try:
            shutil.rmtree(partial, ignore_errors=True)
            partial.mkdir(parents=True)
            tf.train.Checkpoint(**trackables).write(str(partial / "state"))
            progress.write(partial / "progress.json")
            partial.rename(target)
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


def restore(path: pathlib.Path, trackables: dict) -> None:
    """Gives objects the state that they were saved with.

    Args:
        path: a checkpoint that `Checkpoints.newest_whole` found.
        trackables: objects of the same structure as those saved, under the same names.
    """
    status = tf.train.Checkpoint(**trackables).read(str(path / "state"))
    status.assert_existing_objects_matched()


def _read_whole(path: pathlib.Path) -> None:
    """Reads every value of a checkpoint, which compares the checksums."""
    read_progress(path)
    reader = tf.train.load_checkpoint(str(path / "state"))
    for name in reader.get_variable_to_shape_map():
        reader.get_tensor(name)


def _is_of_best_epoch(path: pathlib.Path, progress: Progress) -> bool:
    """Whether a checkpoint was made at the end of the best epoch."""
    try:
        then = read_progress(path)
    except (OSError, TypeError, json.JSONDecodeError):
        return False
    return then.step == 0 and then.epochs == progress.best_epoch
