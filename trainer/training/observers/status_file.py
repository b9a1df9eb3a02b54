"""Keeps status.json up to date."""

from trainer.run import Run
from trainer.status import DONE, RUNNING
from trainer.training.observers.observer import EpochMetrics, Observer, StepMetrics
from trainer.training.progress import Progress


class StatusFile(Observer):
    """Updates a run's status.json: its state, its best epoch and its last sign of life."""

    def __init__(self, run: Run) -> None:
        """Initializes the observer; writes nothing.

        Args:
            run: the run's directory.
        """
        self._run = run

    def begin_training(self, progress: Progress) -> None:
        """Marks the run as running, with the best epoch of its checkpoint."""
        self._run.write_status(RUNNING, progress.best_epoch, progress.best_loss)

    def finish_steps(self, metrics: StepMetrics) -> None:
        """Records a sign of life, at intervals."""
        self._run.status.show_life()

    def finish_epoch(self, metrics: EpochMetrics) -> None:
        """Writes the best epoch so far."""
        self._run.write_status(RUNNING, metrics.best_epoch, metrics.best_loss)

    def finish_training(self, progress: Progress) -> None:
        """Marks the run as done."""
        self._run.write_status(DONE, progress.best_epoch, progress.best_loss)
