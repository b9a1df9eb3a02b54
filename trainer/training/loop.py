"""The outer loop: phases, and epochs of training and validation, with early stopping."""

import dataclasses
import gc
import math
import pathlib
import time
from collections.abc import Callable, Sequence
from typing import Any

import keras
import numpy as np
import tensorflow as tf
from absl import logging

from trainer.data.example_stream import ExampleStream
from trainer.data.input import ChangeBatch, distribute_batches
from trainer.errors import Diverged, Preempted, UserError
from trainer.run import Run
from trainer.training import checkpoint
from trainer.training.checkpoint import Checkpoints
from trainer.training.common_start import require_common_start
from trainer.training.config import Config
from trainer.training.engine import Engine
from trainer.training.interruption import StopRequest
from trainer.training.metrics import Metrics, empty_sums, measure
from trainer.training.observers.observer import EpochMetrics, Observer, StepMetrics, end_all
from trainer.training.phases import Phase
from trainer.training.progress import Progress
from trainer.training.step_result import StepResult
from trainer.training.utilisation.meter import Meter


@dataclasses.dataclass
class Loop:
    """Trains a model to its best epoch.

    Attributes:
        run: the run's directory.
        config: the run's configuration.
        strategy: the strategy of the engine.
        phases: what is trained, in order.
        start_phase: creates the engine of a phase, which then owns the model.
        best_model: float32 copy of the model, which receives the best weights for saving.
        train_examples: the training split.
        validation_examples: the validation split.
        change_batch: function applied to training batches on the host, or None.
        checkpoints: the run's checkpoints.
        stop_request: request to stop the engine between steps.
        observers: observers, notified in this order.
        data_hosts: `HOST:PORT` of the hosts that load the batches; empty: load locally.
        peak_flops: peak of all devices together, in FLOP/s; None if unknown.
        progress: the progress of the run.
    """

    run: Run
    config: Config
    strategy: tf.distribute.Strategy
    phases: tuple[Phase, ...]
    start_phase: Callable[[Phase], Engine]
    best_model: keras.Model
    train_examples: ExampleStream
    validation_examples: ExampleStream
    change_batch: ChangeBatch | None
    checkpoints: Checkpoints
    stop_request: StopRequest
    observers: Sequence[Observer] = ()
    data_hosts: tuple[str, ...] = ()
    peak_flops: float | None = None
    progress: Progress = dataclasses.field(default_factory=Progress, init=False)
    _engine: Engine = dataclasses.field(init=False)

    def train(self) -> None:
        """Trains from the newest checkpoint, or from the beginning, to the end of the last phase.

        Raises:
            Preempted: a stop was requested; a checkpoint has been saved.
            Diverged: the loss is not finite.
        """
        self._meter = Meter(self.config, self.strategy, self.peak_flops)
        self._resume()
        with self.stop_request.on_signals():
            try:
                for observer in self.observers:
                    observer.begin_training(self.progress)
                self._train_phases()
                for observer in self.observers:
                    observer.finish_training(self.progress)
            finally:
                end_all(self.observers)
                self.checkpoints.finish()

    def _train_phases(self) -> None:
        self._train_phase()
        while self.progress.phase + 1 < len(self.phases):
            self._begin_next_phase()
            self._train_phase()
        self.checkpoints.wait()

    def _begin_next_phase(self) -> None:
        self._engine.model.set_weights(self._engine.weights())
        del self._engine
        gc.collect()  # Frees memory for the next engine; functions form cycles.
        self.progress.begin_phase(self.progress.phase + 1)
        self._engine = self.start_phase(self.phases[self.progress.phase])

    def _resume(self) -> None:
        batch_size = self.config.batching.global_batch_size
        self._steps_per_epoch = self.train_examples.steps_per_epoch(batch_size)
        newest = self.checkpoints.newest_whole()
        if newest:
            self.progress = checkpoint.read_progress(newest)
            self.progress.require_fit(
                [phase.epochs for phase in self.phases],
                self._steps_per_epoch,
                len(empty_sums(self.best_model.output.shape[-1])),
            )
        require_common_start(self.strategy, self.progress, self.run.path)
        self._engine = self.start_phase(self.phases[self.progress.phase])
        if newest:
            self._restore(newest)

    def _restore(self, newest: pathlib.Path) -> None:
        self._engine.load_state(checkpoint.read_state(newest, self._engine.state_shapes()))
        progress = self.progress
        logging.info("resuming after epoch %d, step %d", progress.epochs, progress.step)
        if progress.step == 0 and progress.epochs == progress.best_epoch:
            # The checkpoint is written before the model, and the run may have been killed in
            # between.
            self._model_saver()()

    def _train_phase(self) -> None:
        phase, progress = self.phases[self.progress.phase], self.progress
        if len(self.phases) > 1:
            logging.info("phase %s: %d trainable weights", phase.name, self._engine.count_trained())
        train_batches = self._batches(
            self.train_examples, augment_seed=self.config.task.seed, change_batch=self.change_batch,
            start=(progress.epochs, progress.step),
        )  # fmt: skip
        validation_batches = self._batches(self.validation_examples)
        while progress.phase_epochs < phase.epochs:
            if 0 < self.config.phases.patience <= progress.epochs_since_best:
                logging.info(
                    "validation loss has not improved for %d epochs", self.config.phases.patience
                )
                break
            self._epoch(train_batches, validation_batches)

    def _batches(self, examples: ExampleStream, **order: Any) -> tf.distribute.DistributedIterator:
        batches = distribute_batches(
            examples, self.strategy, self.config.batching.global_batch_size,
            data_hosts=self.data_hosts, timed=not self.config.task.deterministic, **order,
        )  # fmt: skip
        return iter(batches)

    def _epoch(self, train_batches, validation_batches) -> None:
        started = time.monotonic()
        rate = self._train_epoch(train_batches)
        seconds = time.monotonic() - started
        train = measure(np.array(self.progress.train_sums))
        with self._meter.spending("validation"):
            validation = self._validate(validation_batches)
        if not math.isfinite(validation.loss):
            raise self._diverged(f"on the validation split after epoch {self.progress.epochs + 1}")
        self.progress.finish_epoch(validation.loss)
        self._finish_epoch(
            EpochMetrics(
                epoch=self.progress.epochs,
                phase=self.phases[self.progress.phase].name,
                train=train,
                validation=validation,
                best_epoch=self.progress.best_epoch,
                best_loss=self.progress.best_loss,
                learning_rate=self._engine.learning_rate(),
                # Rates of this process' own steps; None if the run was stopped in validation.
                images_per_second=None if rate is None else self._timed(rate),
                input_wait=None if rate is None else self._timed(self._meter.waited / seconds),
                seconds=self._timed(time.monotonic() - started),
                utilisation=self._meter.finish_epoch(self._engine, rate),
            )
        )

    def _train_epoch(self, batches) -> float | None:
        """Trains the remaining steps of an epoch.

        Returns:
            Images per second, excluding tracing; None if no steps were left.
        """
        progress, batch_size = self.progress, self.config.batching.global_batch_size
        for observer in self.observers:
            observer.begin_epoch(progress.epochs + 1, self._steps_per_epoch)
        carried = np.array(progress.train_sums or 0)
        first_step, clock, timed_from = progress.step, time.monotonic(), progress.step
        while progress.step < self._steps_per_epoch:
            before, began = progress.train_sums, time.monotonic()
            result = self._engine.train(batches, self._count_steps())
            progress.finish_steps(result.steps, carried + self._engine.train_totals.read())
            self._finish_steps(result, before, time.monotonic() - began)
            self._stop_if(result)
            self.checkpoints.raise_if_failed()
            if self.config.intervals.is_checkpoint_due(progress.step, self._steps_per_epoch):
                with self._meter.spending("checkpoint"):
                    self.checkpoints.save(self._engine.state, progress)
            if timed_from == first_step and progress.step < self._steps_per_epoch:
                # The first call of a process traces and compiles; the rate excludes it.
                clock, timed_from = time.monotonic(), progress.step
        self._engine.train_totals.reset()
        if first_step == self._steps_per_epoch:
            return None
        steps = self._steps_per_epoch - timed_from
        return steps * batch_size / max(time.monotonic() - clock, 1e-9)

    def _count_steps(self) -> int:
        """Returns the steps of the next call, until metrics, a checkpoint or an observer is due."""
        left = self.config.intervals.steps_left(self.progress.step, self._steps_per_epoch)
        for observer in self.observers:
            left = max(1, min(left, observer.begin_steps(self._global_step(), left)))
        return left

    def _global_step(self) -> int:
        return self.progress.epochs * self._steps_per_epoch + self.progress.step

    def _stop_if(self, result: StepResult) -> None:
        progress = self.progress
        if result.diverged:
            step = progress.step - result.steps + result.diverged
            raise self._diverged(f"at step {step} of epoch {progress.epochs + 1}")
        if result.stopped:
            self.checkpoints.finish()  # This one is newer, and may succeed where the last failed.
            self.checkpoints.save(self._engine.state, progress)
            self.checkpoints.wait()
            raise Preempted(
                f"after step {progress.step} of epoch {progress.epochs + 1}, as requested; the "
                "same command resumes from there"
            )

    def _diverged(self, where: str) -> Diverged:
        self.checkpoints.finish()
        try:
            last = str(self.checkpoints.newest_whole() or "none")
        except UserError as error:
            last = f"unknown: {error}"
        return Diverged(
            f"training diverged: the loss or its gradient is not finite {where}, at learning rate "
            f"{self._engine.learning_rate():g}. Lower --learning_rate or set "
            f"--clip_norm in a new --workdir. The last good checkpoint is {last}"
        )

    def _finish_steps(self, result: StepResult, before: list[int] | None, seconds: float) -> None:
        """Reports the steps of one call to the observers; `before` is `train_sums` before it."""
        if not result.steps:
            return
        taken = measure(np.array(self.progress.train_sums) - np.array(before or 0))
        waited = self._meter.finish_steps(result, taken.waited)
        metrics = StepMetrics(
            epoch=self.progress.epochs + 1,
            step=self.progress.step,
            global_step=self._global_step(),
            loss=taken.loss,
            accuracy=taken.accuracy,
            learning_rate=self._engine.learning_rate(),
            gradient_norm=result.gradient_norm,
            loss_scale=self._engine.loss_scale(),
            images_per_second=self._timed(taken.examples / seconds),
            input_wait=self._timed(waited / seconds),
        )
        for observer in self.observers:
            observer.finish_steps(metrics)

    def _validate(self, batches) -> Metrics:
        steps = self.validation_examples.steps_per_epoch(self.config.batching.global_batch_size)
        self._stop_if(self._engine.evaluate(batches, steps))
        sums = self._engine.eval_totals.read()
        self._engine.eval_totals.reset()
        return measure(sums)

    def _timed(self, value: float) -> float | None:
        """Returns a measured time; None in a deterministic run, whose records exclude times."""
        return None if self.config.task.deterministic else value

    def _finish_epoch(self, metrics: EpochMetrics) -> None:
        with self._meter.spending("checkpoint"):
            self.checkpoints.wait()  # Do not report an epoch whose previous save failed.
        for observer in self.observers:
            observer.finish_epoch(metrics)
        with self._meter.spending("checkpoint"):
            save_model = self._model_saver() if metrics.is_best else None
            self.checkpoints.save(self._engine.state, self.progress, then=save_model)

    def _model_saver(self) -> Callable[[], None]:
        """Returns a function that saves the present weights as the best epoch's model."""
        weights = self._engine.weights(averaged=True)

        def save() -> None:
            self.best_model.set_weights(weights)
            self.run.save_model(self.best_model)

        return save
