"""The finished runs of one configuration as a table of seeds and folds."""

import dataclasses
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence

import numpy as np

from trainer.errors import UserError
from trainer.evaluation.study.held_out import HeldOut
from trainer.evaluation.study.layout import Study
from trainer.evaluation.tasks import Multiclass

_NAMED = 3


@dataclasses.dataclass(frozen=True)
class Grid:
    """The runs of one configuration, with a row per seed and a column per fold.

    Attributes:
        name: name of the configuration.
        seeds: seeds of the rows; `[None]` for an ensemble or a plan without seeds.
        folds: folds of the columns; `[None]` for a plan without folds.
        cells: `[seeds][folds]`, the predictions of each run.
        members: number of averaged seeds in each cell; 1: no ensemble.
    """

    name: str
    seeds: list[int | None]
    folds: list[int | None]
    cells: list[list[HeldOut]]
    members: int = 1

    @property
    def tasks(self) -> list[list[Multiclass]]:
        """Labels and probabilities of each run, `[seeds][folds]`."""
        return [[Multiclass(cell.labels, cell.probabilities) for cell in row] for row in self.cells]

    @property
    def test_to_train(self) -> float:
        """Number of test examples per training example of a run.

        0 without folds: all runs are tested on the same examples, and only seeds differ.
        """
        if self.folds == [None]:
            return 0.0
        cells = [cell for row in self.cells for cell in row]
        tested, trained = sum(len(c.ids) for c in cells), sum(c.train_examples for c in cells)
        return tested / trained

    def pooled(self, row: int) -> Multiclass:
        """Returns all folds of one seed: each example as predicted by the run that held it out."""
        cells = self.cells[row]
        return Multiclass(
            np.concatenate([cell.labels for cell in cells]),
            np.concatenate([cell.probabilities for cell in cells]),
        )

    @property
    def pooled_groups(self) -> np.ndarray | None:
        """Groups of the pooled examples, `[examples]`; None if unknown."""
        groups = [cell.groups for cell in self.cells[0] if cell.groups is not None]
        return np.concatenate(groups) if len(groups) == len(self.folds) else None

    def ensemble(self) -> "Grid":
        """Returns the mean probabilities over the seeds, in each fold."""
        averaged = [
            dataclasses.replace(
                column[0], probabilities=np.mean([cell.probabilities for cell in column], axis=0)
            )
            for column in zip(*self.cells, strict=True)
        ]
        return Grid(self.name, [None], self.folds, [averaged], members=len(self.seeds))


def complete_grids(study: Study, predictions: Mapping[str, HeldOut]) -> list[Grid]:
    """Returns the runs of each configuration, without seeds that lack a run.

    Args:
        study: the plan.
        predictions: predictions of the finished runs, by directory.

    Returns:
        The grids of the configurations with at least one complete seed.
    """
    cell_of = {
        (run.configuration, run.seed, run.fold): predictions.get(run.directory)
        for run in study.runs
    }
    grids = []
    for name in study.configurations:
        rows = {seed: [cell_of[name, seed, fold] for fold in study.folds] for seed in study.seeds}
        whole = {seed: [cell for cell in row if cell] for seed, row in rows.items() if all(row)}
        if whole:
            grids.append(Grid(name, list(whole), study.folds, list(whole.values())))
    return grids


def require_each_once(grid: Grid, expected: Iterable[str]) -> None:
    """Checks that the folds of every seed hold out each example exactly once.

    Args:
        grid: grid of a configuration.
        expected: the ids of the examples.

    Raises:
        UserError: an example is missing, or held out twice.
    """
    wanted = set(expected)
    for seed, row in zip(grid.seeds, grid.cells, strict=True):
        count = Counter(str(example_id) for cell in row for example_id in cell.ids)
        doubled = sorted(name for name, times in count.items() if times > 1)
        missing = sorted(wanted - set(count))
        for ids, what in ((doubled, "more than once"), (missing, "by no run")):
            if ids:
                shown = ", ".join(ids[:_NAMED]) + (", ..." if len(ids) > _NAMED else "")
                raise UserError(
                    f"the folds of {_of_seed(grid.name, seed)} hold out "
                    f"{len(ids)} of {len(wanted)} examples {what} ({shown}); expected each once: "
                    "train the study's runs on the folds of one dataset"
                )


def require_same_examples(grids: Sequence[Grid]) -> None:
    """Checks that all runs with the same fold, or without folds, have the same test examples.

    Raises:
        UserError: the examples differ.
    """
    for grid, seed, row in ((g, *row) for g in grids for row in zip(g.seeds, g.cells, strict=True)):
        for one, other in zip(grids[0].cells[0], row, strict=True):
            if not np.array_equal(one.ids, other.ids):
                raise UserError(
                    f"{_of_seed(grids[0].name, grids[0].seeds[0])} is tested on {one.split}, "
                    f"{_of_seed(grid.name, seed)} on {other.split}: they cannot be compared"
                )


def _of_seed(configuration: str, seed: int | None) -> str:
    return configuration if seed is None else f"{configuration}, seed {seed}"
