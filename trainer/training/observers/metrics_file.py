"""Writes metrics.jsonl, one row per epoch."""

from typing import Any

from trainer.run import Run
from trainer.training.observers.observer import EpochMetrics, Observer
from trainer.training.progress import Progress


class MetricsFile(Observer):
    """Writes a run's metrics.jsonl."""

    def __init__(self, run: Run, rows: list[dict[str, Any]]) -> None:
        """Initializes the observer; writes nothing.

        Args:
            run: the run's directory.
            rows: the rows found there by `Run.read_metrics`.
        """
        self._run, self._rows = run, rows

    def begin_training(self, progress: Progress) -> None:
        """Drops the rows of epochs that will be repeated."""
        del self._rows[progress.epochs :]

    def finish_epoch(self, metrics: EpochMetrics) -> None:
        """Appends the epoch's row."""
        self._rows.append(metrics.row())
        self._run.write_metrics(self._rows)
