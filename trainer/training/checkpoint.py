"""What a run needs to go on after an interruption, saved at the end of every epoch."""

import pathlib

import keras
import tensorflow as tf

from trainer.training.loss_scale import DynamicLossScale

_KEPT = 2


class Progress(tf.Module):
    """How far a run has come, and its best epoch so far. Checkpointed with the weights."""

    def __init__(self) -> None:
        """Starts at epoch 0 with nothing seen."""
        super().__init__()
        self._epochs = tf.Variable(0, trainable=False, dtype=tf.int64)
        self._best_epoch = tf.Variable(0, trainable=False, dtype=tf.int64)
        self._best_loss = tf.Variable(float("inf"), trainable=False, dtype=tf.float64)

    @property
    def epochs(self) -> int:
        """Number of finished epochs."""
        return int(self._epochs)

    @property
    def best_epoch(self) -> int | None:
        """The epoch of the lowest validation loss, counted from 1; None before the first."""
        return int(self._best_epoch) or None

    @property
    def best_loss(self) -> float | None:
        """The lowest validation loss; None before the first epoch's end."""
        return float(self._best_loss) if self.best_epoch else None

    @property
    def epochs_since_best(self) -> int:
        """Number of epochs finished since the best one."""
        return int(self._epochs - self._best_epoch)

    def finish_epoch(self, validation_loss: float) -> bool:
        """Counts an epoch.

        Returns:
            Whether its validation loss is the lowest so far.
        """
        self._epochs.assign_add(1)
        improved = validation_loss < float(self._best_loss)
        if improved:
            self._best_epoch.assign(self._epochs)
            self._best_loss.assign(validation_loss)
        return improved


class Checkpoint:
    """Saves and restores model, optimizer, loss scale and progress."""

    def __init__(
        self,
        directory: pathlib.Path,
        *,
        model: keras.Model,
        optimizer: keras.optimizers.Optimizer,
        progress: Progress,
        loss_scale: DynamicLossScale | None,
    ) -> None:
        """Prepares checkpoints in a directory. The optimizer must have been built."""
        state = {"model": model, "optimizer": optimizer, "progress": progress}
        if loss_scale is not None:
            state["loss_scale"] = loss_scale
        self._state = tf.train.Checkpoint(**state)
        self._manager = tf.train.CheckpointManager(self._state, str(directory), _KEPT)

    def restore(self) -> bool:
        """Restores the newest checkpoint.

        Returns:
            Whether there was one.
        """
        newest = self._manager.latest_checkpoint
        if newest is None:
            return False
        self._state.restore(newest).assert_existing_objects_matched()
        return True

    def save(self, epoch: int) -> None:
        """Saves a checkpoint of an epoch and deletes the oldest beyond the last two."""
        self._manager.save(checkpoint_number=epoch)
