"""Writes metrics.jsonl, one row for each epoch."""

from typing import Any

from trainer.run import Run
from trainer.training.observers.observer import EpochMetrics, Observer
from trainer.training.progress import Progress


class MetricsFile(Observer):
    """Writes a run's metrics.jsonl."""

    def __init__(self, run: Run, rows: list[dict[str, Any]]) -> None:
        """Writes nothing yet.

        Args:
            run: the run's directory.
            rows: what `Run.read_metrics` found there.
        """
        self._run, self._rows = run, rows

    def begin_training(self, progress: Progress) -> None:
        """Drops the rows of epochs that will be trained again."""
        del self._rows[progress.epochs :]

    def finish_epoch(self, metrics: EpochMetrics) -> None:
        """Appends the epoch's row."""
        row = {
            "epoch": metrics.epoch,
            "phase": metrics.phase,
            "loss": metrics.train.loss,
            "accuracy": metrics.train.accuracy,
            "validation_loss": metrics.validation.loss,
            "validation_accuracy": metrics.validation.accuracy,
            "learning_rate": metrics.learning_rate,
            "images_per_second": metrics.images_per_second,
            "input_wait": metrics.input_wait,
            "seconds": metrics.seconds,
        }
        self._rows.append(row | metrics.utilisation.measured())
        self._run.write_metrics(self._rows)
