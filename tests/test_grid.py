"""Tables of a configuration's runs: whole seeds only, each example once."""

import pathlib

import numpy as np
import pytest

from trainer.errors import UserError
from trainer.evaluation.study.grid import complete_grids, require_each_once, require_same_examples
from trainer.evaluation.study.held_out import HeldOut
from trainer.evaluation.study.layout import PlannedRun, Study

FOLDS = ("abc", "de")


def cell(ids, value=0.5):
    shares = np.full((len(ids), 2), [value, 1 - value])
    return HeldOut(ids, np.array(list(ids)), np.zeros(len(ids), int), None, shares, 4)


def study_of(*configurations):
    runs = [
        PlannedRun(f"{name},{seed},{fold}", name, seed, fold)
        for name in configurations
        for seed in (3, 7)
        for fold in (0, 1)
    ]
    return Study(pathlib.Path("s"), "", [3, 7], [0, 1], dict.fromkeys(configurations, {}), runs)


def predictions_of(study, folds=FOLDS):
    return {run.directory: cell(folds[run.fold], run.seed / 10) for run in study.runs}


def test_a_seed_that_lacks_a_fold_is_not_in_the_table():
    study = study_of("a", "b")
    predictions = predictions_of(study)
    del predictions["a,3,1"]
    one, other = complete_grids(study, predictions)
    assert (one.seeds, other.seeds) == ([7], [3, 7])
    for name in ("b,3,0", "b,7,0"):
        del predictions[name]
    assert [grid.name for grid in complete_grids(study, predictions)] == ["a"]


def test_seeds_are_averaged_fold_by_fold_and_folds_pooled():
    study = study_of("a")
    (grid,) = complete_grids(study, predictions_of(study))
    mean = grid.ensemble()
    assert (mean.members, mean.seeds, mean.folds) == (2, [None], [0, 1])
    np.testing.assert_allclose(mean.pooled(0).probabilities, [[0.5, 0.5]] * 5)
    np.testing.assert_allclose(grid.pooled(1).probabilities, [[0.7, 0.3]] * 5)
    assert grid.test_to_train == 5 / 8


@pytest.mark.parametrize(
    ("folds", "said"),
    [
        (("abc", "d"), r"a, seed 3 hold out 1 of 5 examples by no run \(e\)"),
        (("abc", "cde"), r"a, seed 3 hold out 1 of 5 examples more than once \(c\)"),
    ],
)
def test_an_example_that_is_missing_or_doubled_is_named(folds, said):
    study = study_of("a")
    (grid,) = complete_grids(study, predictions_of(study, folds))
    with pytest.raises(UserError, match=said):
        require_each_once(grid, "abcde")


def test_runs_of_other_examples_are_not_compared():
    study = study_of("a", "b")
    predictions = predictions_of(study) | {"b,7,0": cell("de"), "b,7,1": cell("abc")}
    grids = complete_grids(study, predictions)
    for grid in grids:
        require_each_once(grid, "abcde")
    with pytest.raises(UserError, match="a, seed 3 is tested on abc, b, seed 7 on de"):
        require_same_examples(grids)
