"""The interface between the training loop and its observers."""

import dataclasses
from collections.abc import Iterable
from typing import Any

from absl import logging

from cxr_command.foreign_text import first_line
from trainer.training.metrics import Metrics
from trainer.training.progress import Progress
from trainer.training.utilisation.utilisation import Utilisation

_NOT_MEASURED = Utilisation()


@dataclasses.dataclass(frozen=True)
class StepMetrics:
    """Metrics of the steps of one call of the engine.

    Attributes:
        epoch: the epoch they belong to, counted from 1.
        step: steps taken in this epoch.
        global_step: steps taken in all epochs.
        loss: mean over the examples of these steps; NaN if one was not finite.
        accuracy: 0 to 1.
        learning_rate: learning rate of the next step.
        gradient_norm: norm of the last step's reduced gradients before clipping.
        loss_scale: loss scale of the next step; None without a loss scale.
        images_per_second: throughput; None in a deterministic run, which does not read the clock.
        input_wait: share of the time that a replica waited for input; None in a deterministic run.
    """

    epoch: int
    step: int
    global_step: int
    loss: float
    accuracy: float
    learning_rate: float
    gradient_norm: float
    loss_scale: float | None
    images_per_second: float | None
    input_wait: float | None


@dataclasses.dataclass(frozen=True)
class EpochMetrics:
    """Metrics of an epoch.

    Attributes:
        epoch: number of the epoch, counted from 1.
        phase: name of the phase of training.
        train: metrics of the training split, while the weights changed.
        validation: metrics of the validation split, after the epoch.
        best_epoch: the epoch of the lowest validation loss so far.
        best_loss: that loss.
        learning_rate: learning rate of the next step.
        images_per_second: throughput in training; None in a deterministic run, which does not read
            the clock.
        input_wait: share of that time that a replica waited for input; None in a deterministic run.
        seconds: duration of training and validation; None in a deterministic run.
        utilisation: utilisation of devices and time; empty in a deterministic run.
    """

    epoch: int
    phase: str
    train: Metrics
    validation: Metrics
    best_epoch: int | None
    best_loss: float | None
    learning_rate: float
    images_per_second: float | None
    input_wait: float | None
    seconds: float | None
    utilisation: Utilisation = _NOT_MEASURED

    @property
    def is_best(self) -> bool:
        """Whether its validation loss is the lowest so far."""
        return self.epoch == self.best_epoch

    def row(self) -> dict[str, Any]:
        """Returns the metrics by name, as in a row of metrics.jsonl."""
        return {
            "epoch": self.epoch,
            "phase": self.phase,
            "loss": self.train.loss,
            "accuracy": self.train.accuracy,
            "validation_loss": self.validation.loss,
            "validation_accuracy": self.validation.accuracy,
            "learning_rate": self.learning_rate,
            "images_per_second": self.images_per_second,
            "input_wait": self.input_wait,
            "seconds": self.seconds,
            **self.utilisation.measured(),
        }


class Observer:
    """Observes a training; a subclass overrides the methods it needs.

    The methods are called in the order below. Within an epoch, `begin_steps` and `finish_steps` are
    called around each call of the engine, until all of the epoch's steps are taken. An error raised
    by an observer ends the training.
    """

    def begin_training(self, progress: Progress) -> None:
        """Called when training begins or resumes from a checkpoint.

        Args:
            progress: the current progress; must not be modified.
        """

    def begin_epoch(self, epoch: int, steps: int) -> None:
        """Called when an epoch begins or resumes from a checkpoint.

        Args:
            epoch: number of the epoch, counted from 1.
            steps: steps of the whole epoch.
        """

    def begin_steps(self, global_step: int, steps: int) -> int:
        """Called before each call of the engine.

        Args:
            global_step: steps taken in all epochs.
            steps: maximum number of steps of the call.

        Returns:
            The maximum that this observer allows: at least one, at most `steps`.
        """
        return steps

    def finish_steps(self, metrics: StepMetrics) -> None:
        """Called after the engine's steps; `end` follows if it stopped or the loss diverged."""

    def finish_epoch(self, metrics: EpochMetrics) -> None:
        """Called after an epoch's validation, before its checkpoint is saved."""

    def finish_training(self, progress: Progress) -> None:
        """Called after the last epoch, when its checkpoint and model are saved.

        Args:
            progress: the current progress; must not be modified.
        """

    def end(self) -> None:
        """Called when training ends, even if it stopped or failed. Errors are only logged."""


def end_all(observers: Iterable[Observer]) -> None:
    """Calls `end` of all observers, even if one of them raises.

    Args:
        observers: observers, in the order of the calls.
    """
    for observer in observers:
        try:
            observer.end()
        except Exception as error:  # Another error may be propagating.
            logging.error("%s", first_line(error))
