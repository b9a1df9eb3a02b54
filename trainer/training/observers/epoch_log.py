"""Logs a line per epoch."""

from absl import logging

from trainer.training.observers.observer import EpochMetrics, Observer


class EpochLog(Observer):
    """Logs a line per epoch."""

    def __init__(self, epochs: int) -> None:
        """Initializes the observer.

        Args:
            epochs: maximum number of epochs.
        """
        self._epochs = epochs

    def finish_epoch(self, metrics: EpochMetrics) -> None:
        """Logs losses, accuracies and speed."""
        rate, wait = metrics.images_per_second, metrics.input_wait
        logging.info(
            "epoch %d/%d  loss %.4f  accuracy %.4f  validation loss %.4f  accuracy %.4f  "
            "%s images/s  input wait %s%s",
            metrics.epoch, self._epochs, metrics.train.loss, metrics.train.accuracy,
            metrics.validation.loss, metrics.validation.accuracy,
            "not timed" if rate is None else f"{rate:.0f}",
            "not timed" if wait is None else f"{wait:.1%}",
            "  (best so far)" if metrics.is_best else "",
        )  # fmt: skip
