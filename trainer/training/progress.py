"""The progress of a run and its best epoch so far, saved in every checkpoint."""

import dataclasses
import json
import pathlib
from collections.abc import Sequence

import numpy as np

from trainer.errors import Damaged
from trainer.json_file import integer, list_of, number, read_object

_FIELDS = {
    "phase": integer(0),
    "phase_epochs": integer(0),
    "epochs": integer(0),
    "step": integer(0),
    "train_sums": list_of(integer(-(2**63), 2**63 - 1)).or_none(),
    "best_epoch": integer(1).or_none(),
    "best_loss": number().or_none(),
    "epochs_since_best": integer(0),
}
_ADVICE = "remove the checkpoint to resume from the one before it"


@dataclasses.dataclass
class Progress:
    """The progress of a run.

    Attributes:
        phase: index of the phase of training.
        phase_epochs: epochs finished in this phase.
        epochs: epochs finished in total.
        step: steps taken in the current epoch.
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
        """Records finished steps.

        Args:
            steps: number of steps.
            sums: the sums of `Totals` since the epoch began.
        """
        self.step += steps
        self.train_sums = sums.tolist()

    def finish_epoch(self, validation_loss: float) -> bool:
        """Records a finished epoch.

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
        """Starts another phase, which gets its full patience."""
        self.phase, self.phase_epochs, self.epochs_since_best = phase, 0, 0

    def write(self, path: pathlib.Path) -> None:
        """Writes the progress as JSON, which preserves Python's floats and integers exactly."""
        path.write_text(json.dumps(dataclasses.asdict(self)))

    @classmethod
    def read(cls, path: pathlib.Path) -> "Progress":
        """Reads progress written by `write`.

        Raises:
            Unreadable: the operating system could not read the file.
            Damaged: the content is invalid or inconsistent.
        """
        content = read_object(path, _FIELDS, _ADVICE)
        progress = cls(**{name: content[name] for name in _FIELDS})
        best, epochs = progress.best_epoch, progress.epochs
        if progress.phase_epochs > epochs or (best or 0) > epochs:
            raise Damaged(f"{path} is damaged (an epoch beyond the {epochs} finished); {_ADVICE}")
        if (best is None) != (progress.best_loss is None):
            raise Damaged(f"{path} is damaged (a best epoch without its loss); {_ADVICE}")
        return progress

    def require_fit(self, phase_epochs: Sequence[int], steps_per_epoch: int, sums: int) -> None:
        """Checks that the progress fits this training.

        Args:
            phase_epochs: maximum number of epochs of each phase.
            steps_per_epoch: steps of an epoch.
            sums: length of `train_sums`.

        Raises:
            Damaged: this training cannot reach such a progress.
        """
        phases = len(phase_epochs)
        if self.phase >= phases:
            raise Damaged(f"the checkpoint is of phase {self.phase + 1} of {phases}; {_ADVICE}")
        if self.phase_epochs > phase_epochs[self.phase]:
            raise Damaged(
                f"the checkpoint is of epoch {self.phase_epochs} of a phase of "
                f"{phase_epochs[self.phase]}; {_ADVICE}"
            )
        if self.step > steps_per_epoch:  # Equal if stopped before or during validation.
            raise Damaged(
                f"the checkpoint is of step {self.step} of an epoch of {steps_per_epoch}; {_ADVICE}"
            )
        if self.train_sums is not None and len(self.train_sums) != sums:
            raise Damaged(
                f"the checkpoint has {len(self.train_sums)} sums, expected {sums}; {_ADVICE}"
            )
