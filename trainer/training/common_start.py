"""Checks that all workers resume from the same checkpoint."""

import pathlib

import tensorflow as tf

from trainer.errors import UserError
from trainer.training.gathering import gather
from trainer.training.progress import Progress


def require_common_start(
    strategy: tf.distribute.Strategy, progress: Progress, directory: pathlib.Path
) -> None:
    """Fails if the workers found different checkpoints, as their weights would differ.

    Args:
        strategy: the strategy shared by all workers.
        progress: the progress of this worker.
        directory: the run's directory.

    Raises:
        UserError: another worker has a different progress.
    """
    gathered = gather(strategy, [progress.epochs, progress.step])
    found = sorted({tuple(position) for position in gathered.tolist()})
    if len(found) > 1:
        positions = " and ".join(f"epoch {epochs} step {step}" for epochs, step in found)
        raise UserError(
            f"the workers found different checkpoints in {directory}, of {positions}: "
            "--workdir must be on a file system shared by all workers"
        )
