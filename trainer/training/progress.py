"""How far a run has come, and its best epoch so far. Saved in every checkpoint."""

import dataclasses
import json
import pathlib

import numpy as np


@dataclasses.dataclass
class Progress:
    """Where a run stands.

    Attributes:
        phase: index of the phase of training.
        phase_epochs: epochs finished in this phase.
        epochs: epochs finished in all.
        step: steps taken in the epoch that is not finished.
        train_sums: sums of `Totals` over those steps; None before the first.
        best_epoch: the epoch of the lowest validation loss, counted from 1; None before the first.
        best_loss: that loss.
        epochs_since_best: epochs finished since then, or since the phase began.
    """

    phase: int = 0
    phase_epochs: int = 0
    epochs: int = 0
    step: int = 0
    train_sums: list[int] | None = None
    best_epoch: int | None = None
    best_loss: float | None = None
    epochs_since_best: int = 0

    def finish_steps(self, steps: int, sums: np.ndarray) -> None:
        """Counts steps.

        Args:
            steps: how many.
            sums: what `Totals` has counted since the epoch began.
        """
        self.step += steps
        self.train_sums = sums.tolist()

    def finish_epoch(self, validation_loss: float) -> bool:
        """Counts an epoch.

        Returns:
            Whether its validation loss is the lowest so far.
        """
        self.epochs += 1
        self.phase_epochs += 1
        self.step, self.train_sums = 0, None
        if self.best_loss is not None and validation_loss >= self.best_loss:
            self.epochs_since_best += 1
            return False
        self.best_epoch, self.best_loss, self.epochs_since_best = self.epochs, validation_loss, 0
        return True

    def begin_phase(self, phase: int) -> None:
        """Goes on to another phase, which gets its full patience."""
        self.phase, self.phase_epochs, self.epochs_since_best = phase, 0, 0

    def write(self, path: pathlib.Path) -> None:
        """Writes it as JSON, in which Python's floats and integers survive unchanged."""
        path.write_text(json.dumps(dataclasses.asdict(self)))

    @classmethod
    def read(cls, path: pathlib.Path) -> "Progress":
        """Reads what `write` wrote."""
        return cls(**json.loads(path.read_text()))
