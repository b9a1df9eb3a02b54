"""What the loop reports to its observers, and when."""

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
        learning_rate: of the next step.
        gradient_norm: of the last step's reduced gradients before clipping.
        loss_scale: of the next step; None without a loss scale.
        images_per_second: None in a deterministic run, which reads no clock.
        input_wait: share of the time in which a replica waited for input; None likewise.
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
        epoch: counted from 1.
        phase: name of the phase of training.
        train: of the training split, as the weights changed.
        validation: of the validation split, after the epoch.
        best_epoch: the epoch of the lowest validation loss so far.
        best_loss: that loss.
        learning_rate: of the next step.
        images_per_second: in training; None in a deterministic run, which reads no clock.
        input_wait: share of that time in which a replica waited for input; None likewise.
        seconds: of training and validation; None likewise.
        utilisation: of devices and time; tells nothing in a deterministic run.
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
        """The numbers by name, as a row of metrics.jsonl has them."""
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

    They are called in the order below. Within an epoch, `begin_steps` and `finish_steps` are called
    around each call of the engine, until all of the epoch's steps are taken. An error that one
    raises ends the training.
    """

    def begin_training(self, progress: Progress) -> None:
        """Training begins, or goes on from a checkpoint.

        Args:
            progress: where it stands; only to be read.
        """

    def begin_epoch(self, epoch: int, steps: int) -> None:
        """An epoch begins, or goes on from a checkpoint.

        Args:
            epoch: counted from 1.
            steps: of the whole epoch.
        """

    def begin_steps(self, global_step: int, steps: int) -> int:
        """The engine is about to be called.

        Args:
            global_step: steps taken in all epochs.
            steps: how many the call may take.

        Returns:
            How many it may take for this observer: `steps` or fewer, at least one.
        """
        return steps

    def finish_steps(self, metrics: StepMetrics) -> None:
        """The engine has taken steps. If it was stopped or the loss diverged, `end` comes next."""

    def finish_epoch(self, metrics: EpochMetrics) -> None:
        """An epoch was trained and validated. Its checkpoint is saved next."""

    def finish_training(self, progress: Progress) -> None:
        """The last epoch was trained, and its checkpoint and model are saved.

        Args:
            progress: where training stands; only to be read.
        """

    def end(self) -> None:
        """Training ends, whether it finished, stopped or failed. An error is only logged."""


def end_all(observers: Iterable[Observer]) -> None:
    """Ends observers, whatever one of them raises.

    Args:
        observers: are ended in this order.
    """
    for observer in observers:
        try:
            observer.end()
        except Exception as error:  # Another error may be on its way.
            logging.error("%s", first_line(error))
