"""The outer loop: epochs of training and validation until the best epoch is clear."""

import dataclasses
import math
import time

import keras
import tensorflow as tf
from absl import logging

from trainer.config import Config
from trainer.data.input import Examples, distribute_batches
from trainer.run import Run
from trainer.training.checkpoint import Checkpoint, Progress
from trainer.training.engine import Engine
from trainer.training.monitor import Profile, ProgressLine, TensorBoard

# Steps that the graph takes before it comes back to show progress.
STEPS_PER_CALL = 20


@dataclasses.dataclass
class Loop:
    """Trains a model to its best epoch.

    Attributes:
        run: the run's directory.
        config: the run's configuration.
        strategy: the strategy of the engine.
        engine: takes the steps.
        model: what the engine trains.
        best_model: its float32 twin, into which the best weights are written to be saved.
        train_examples: the training split.
        validation_examples: the validation split.
        progress: where the run stands.
        checkpoint: saves it.
        profile: records a profile.
    """

    run: Run
    config: Config
    strategy: tf.distribute.Strategy
    engine: Engine
    model: keras.Model
    best_model: keras.Model
    train_examples: Examples
    validation_examples: Examples
    progress: Progress
    checkpoint: Checkpoint
    profile: Profile

    def train(self) -> str:
        """Trains until the last epoch, or until patience is spent.

        Returns:
            `done`, or `diverged` if a loss was not finite.
        """
        batch_size, first = self.config.global_batch_size, self.progress.epochs
        train_batches = iter(
            distribute_batches(
                self.train_examples, self.strategy, batch_size,
                augment_seed=self.config.seed, first_epoch=first,
            )
        )  # fmt: skip
        validation_batches = iter(
            distribute_batches(self.validation_examples, self.strategy, batch_size)
        )
        tensorboard = TensorBoard(self.run.tensorboard)
        rows = self.run.read_metrics()[:first]
        while self.progress.epochs < self.config.epochs:
            if self.progress.epochs_since_best >= self.config.patience:
                logging.info("no better validation loss in %d epochs", self.config.patience)
                break
            row = self._epoch(train_batches, validation_batches)
            if not math.isfinite(row["loss"]) or not math.isfinite(row["validation_loss"]):
                logging.error(
                    "epoch %d: the loss is %s (learning rate %g)",
                    row["epoch"], row["loss"], row["learning_rate"],
                )  # fmt: skip
                return "diverged"
            self._finish_epoch(rows, row, tensorboard)
        return "done"

    def _epoch(self, train_batches, validation_batches) -> dict[str, float]:
        epoch = self.progress.epochs + 1
        started = time.monotonic()
        rate, seconds = self._train_epoch(train_batches, epoch)
        train = self.engine.train_metrics()
        self.engine.evaluate(
            validation_batches,
            self.validation_examples.steps_per_epoch(self.config.global_batch_size),
        )
        validation = self.engine.eval_metrics()
        return {
            "epoch": epoch,
            "loss": train["loss"],
            "accuracy": train["accuracy"],
            "validation_loss": validation["loss"],
            "validation_accuracy": validation["accuracy"],
            "learning_rate": self.config.learning_rate,
            "images_per_second": rate,
            "input_wait": self._share_waited(train["waited"], seconds),
            "seconds": time.monotonic() - started,
        }

    def _train_epoch(self, batches, epoch: int) -> tuple[float, float]:
        """Trains an epoch; returns images per second and seconds, tracing left out of the rate."""
        batch_size = self.config.global_batch_size
        steps = self.train_examples.steps_per_epoch(batch_size)
        line = ProgressLine(f"epoch {epoch}/{self.config.epochs}", steps, batch_size)
        started = time.monotonic()
        step, clock, timed_from = 0, started, 0
        while step < steps:
            global_step = (epoch - 1) * steps + step
            self.profile.switch(global_step)
            count = self.profile.limit(global_step, min(STEPS_PER_CALL, steps - step))
            self.engine.train(batches, count)
            step += count
            line.show(step)
            if step == count < steps:
                # The first call of a process traces and compiles: the rate is of what follows.
                clock, timed_from = time.monotonic(), step
        line.clear()
        now = time.monotonic()
        return (steps - timed_from) * batch_size / (now - clock), now - started

    def _share_waited(self, waited: float, seconds: float) -> float | None:
        """Share of the time in which a replica waited for input; None if it was not timed."""
        if self.config.deterministic:
            return None
        return waited / self.strategy.num_replicas_in_sync / seconds

    def _finish_epoch(self, rows: list, row: dict, tensorboard: TensorBoard) -> None:
        improved = self.progress.finish_epoch(row["validation_loss"])
        if improved:
            self.best_model.set_weights(self.model.get_weights())
            self.run.save_model(self.best_model)
        rows.append(row)
        self.run.write_metrics(rows)
        tensorboard.write(row)
        self.checkpoint.save(self.progress.epochs)
        self.run.write_status("running", self.progress.best_epoch, self.progress.best_loss)
        logging.info(
            "epoch %d/%d  loss %.4f  accuracy %.4f  validation loss %.4f  accuracy %.4f  "
            "%.0f images/s  input wait %s  %.0f s%s",
            row["epoch"], self.config.epochs, row["loss"], row["accuracy"], row["validation_loss"],
            row["validation_accuracy"], row["images_per_second"],
            "not timed" if row["input_wait"] is None else f"{row['input_wait']:.1%}",
            row["seconds"], "  (best so far)" if improved else "",
        )  # fmt: skip
