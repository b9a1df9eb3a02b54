"""The rows of predictions.csv, one per file."""

import dataclasses
import itertools
from collections.abc import Sequence

import numpy as np

from cxr_command.foreign_text import as_unicode
from trainer.evaluation.conformal import members
from trainer.evaluation.temperature import apply_temperature
from trainer.prediction.choices import Choices
from trainer.prediction.read_ahead import FileRead

_LEFT_OUT = "left_out"


@dataclasses.dataclass(frozen=True)
class Table:
    """The columns of the table.

    Attributes:
        class_names: names of the classes.
        positive: label of the class of the decision.
        choices: values chosen on validation; missing values have no column.
        has_distances: whether the distance to the training radiographs is known.
        has_panels: whether heatmaps are drawn.
    """

    class_names: tuple[str, ...]
    positive: int
    choices: Choices
    has_distances: bool = False
    has_panels: bool = False

    @property
    def header(self) -> list[str]:
        """Returns the names of the columns."""
        calibrated = [f"calibrated {name}" for name in self.class_names]
        return [
            "path",
            "predicted",
            *self.class_names,
            *(calibrated if self.choices.temperature is not None else []),
            *(["decision"] if self.choices.threshold is not None else []),
            *(["set"] if self.choices.quantiles is not None else []),
            *(["unusual", "distance"] if self.has_distances else []),
            *(["panel"] if self.has_panels else []),
            "remarks",
            _LEFT_OUT,
        ]

    def rows(
        self,
        files: Sequence[FileRead],
        probabilities: np.ndarray,
        distances: np.ndarray | None,
        panels: Sequence[str],
    ) -> list[list[object]]:
        """Returns the rows of some files.

        Args:
            files: the files.
            probabilities: `[read, classes] float64`, of the files that were read, in order.
            distances: `[read] float64`, relative to the threshold; None if unknown.
            panels: file names of their panels; empty without panels.

        Returns:
            One row per file.
        """
        answers = iter(self._answers(probabilities, distances, panels))
        nothing: list[object] = [""] * (len(self.header) - 3)
        return [
            [shown(file.path), *next(answers), file.remarks, ""]
            if file.image is not None
            else [shown(file.path), *nothing, "", file.reason]
            for file in files
        ]

    def _answers(
        self, probabilities: np.ndarray, distances: np.ndarray | None, panels: Sequence[str]
    ) -> list[list[object]]:
        """Returns the columns between path and remarks."""
        columns: list[Sequence[object]] = [
            [self.class_names[label] for label in probabilities.argmax(axis=1)],
            *probabilities.T.tolist(),
        ]
        if self.choices.temperature is not None:
            columns += apply_temperature(probabilities, self.choices.temperature).T.tolist()
        if self.choices.threshold is not None:
            name = self.class_names[self.positive]
            is_positive = probabilities[:, self.positive] >= self.choices.threshold
            columns.append([name if positive else f"not {name}" for positive in is_positive])
        if self.choices.quantiles is not None:
            quantiles = [self.choices.quantiles[name] for name in self.class_names]
            sets = members(probabilities, quantiles)
            columns.append(["; ".join(itertools.compress(self.class_names, row)) for row in sets])
        if distances is not None:
            columns += [["yes" if far else "" for far in distances > 1], distances.tolist()]
        if self.has_panels:
            columns.append(panels)
        return [list(answer) for answer in zip(*columns, strict=True)]


def shown(path: str) -> str:
    """Returns a file's name in the table."""
    return as_unicode(path)


def reason_of(row: Sequence[str]) -> str:
    """Returns why the file of a row was skipped; empty if it was not."""
    return row[-1]
