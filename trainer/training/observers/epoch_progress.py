"""Shows the progress of an epoch."""

from trainer.progress_line import ProgressLine
from trainer.training.observers.observer import Observer, StepMetrics


class EpochProgress(Observer):
    """Shows a progress line during training."""

    def __init__(self, epochs: int, batch_size: int) -> None:
        """Initializes the observer.

        Args:
            epochs: maximum number of epochs.
            batch_size: images per step.
        """
        self._epochs, self._batch_size = epochs, batch_size
        self._steps: int
        self._line: ProgressLine

    def begin_epoch(self, epoch: int, steps: int) -> None:
        """Starts a new line."""
        self._steps = steps
        self._line = ProgressLine(f"epoch {epoch}/{self._epochs}", steps, self._batch_size)

    def finish_steps(self, metrics: StepMetrics) -> None:
        """Updates the line; removes it after the last step."""
        self._line.show(metrics.step)
        if metrics.step == self._steps:
            self._line.clear()
