"""A search; numbers written to the runs' directories stand for trainings."""

import json
import math
import pathlib
import sqlite3

import numpy as np
import optuna
import pytest

from trainer.errors import Damaged, UserError
from trainer.run import Run
from trainer.studies.search import Search

PLAN = """model = lenet
data_dir = ../data
learning_rate = 1e-4 .. 1e-2 log
dropout = 0.1 .. 0.5
head_epochs = 1 .. 4
optimizer = adam, sgd
seeds = 3
"""
NAMES = ("learning_rate", "dropout", "head_epochs", "optimizer")


def loss_of(values):
    """The lower, the nearer the rate is to 1e-3 and the dropout to 0.3."""
    rate = math.log10(float(values["learning_rate"])) + 3
    return 0.5 + rate**2 + abs(float(values["dropout"]) - 0.3)


def opened(folder, number, text=PLAN):
    search = Search(text, pathlib.Path(folder), number)
    search.open()
    return search


def write_epochs(trial, losses):
    trial.directory.mkdir(exist_ok=True)
    run = Run(trial.directory)
    run.write_metrics([
        {"epoch": epoch, "validation_loss": loss} for epoch, loss in enumerate(losses, start=1)
    ])  # fmt: skip
    best = int(np.argmin(losses))
    run.write_status("done", best + 1, losses[best])


def run_through(search):
    """Trains what is left; returns the flags of each."""
    asked = []
    while trial := search.take():
        asked.append({flag: trial.flags[flag] for flag in NAMES})
        write_epochs(trial, [loss_of(trial.flags) + 1, loss_of(trial.flags)])
        assert search.end(trial, 0).told == "done"
    return asked


def test_a_search_that_was_interrupted_chooses_as_one_that_was_not(tmp_path):
    whole, parts = tmp_path / "whole", tmp_path / "parts [1] ?"
    whole.mkdir()
    parts.mkdir()
    expected = run_through(opened(whole, 14))
    found = run_through(opened(parts, 4))
    interrupted = opened(parts, 14)
    trial = interrupted.take()
    assert interrupted.end(trial, 75).code == 75
    found += run_through(opened(parts, 14))
    assert found == expected and len(found) == 14
    for values in found:
        assert 1e-4 <= float(values["learning_rate"]) <= 1e-2
        assert 0.1 <= float(values["dropout"]) <= 0.5
        assert values["head_epochs"] in "1234" and values["optimizer"] in ("adam", "sgd")
    assert run_through(opened(parts, 14)) == []
    assert opened(parts, 14).ended == 14


def test_the_database_holds_the_losses_and_optuna_reads_it(tmp_path):
    run_through(opened(tmp_path, 12))
    study = optuna.load_study(study_name="study", storage=f"sqlite:///{tmp_path}/optuna.db")
    best = min(
        loss_of(one["values"])
        for one in json.loads((tmp_path / "study.json").read_text())["configurations"]
    )
    assert study.best_value == pytest.approx(best, abs=1e-12)
    assert all(trial.state.name == "COMPLETE" for trial in study.trials)


def test_study_json_lists_every_trial(tmp_path):
    search = opened(tmp_path, 2)
    run_through(search)
    content = json.loads((tmp_path / "study.json").read_text())
    assert content["plan"] == PLAN and content["seeds"] == [3] and content["folds"] is None
    assert [run["directory"] for run in content["runs"]] == ["trial=0,seed=3", "trial=1,seed=3"]
    assert [path.name for path in search.directories] == ["trial=0,seed=3", "trial=1,seed=3"]
    assert {"directory": "trial=0,seed=3", "configuration": "trial=0", "seed": 3, "fold": None} in (
        content["runs"]
    )
    for one in content["configurations"]:
        assert one["values"].keys() == {"model", "data_dir", *NAMES}


def test_a_run_worse_than_the_median_of_the_others_is_pruned(tmp_path):
    search, losses = opened(tmp_path, 7), [0.9, 0.8, 0.7, 0.6, 0.5]
    for loss in losses:
        trial = search.take()
        write_epochs(trial, [loss + 1, loss])
        assert not search.is_hopeless(trial) or loss > np.median(losses)
        assert search.end(trial, 0).code == 0
    good, bad = search.take(), search.take()
    write_epochs(good, [np.median(losses) + 1 - 0.01])
    write_epochs(bad, [np.median(losses) + 1 + 0.01])
    assert not search.is_hopeless(good)
    assert search.is_hopeless(bad) and search.is_hopeless(bad)
    ended = search.end(bad, 75)
    assert ended.code == 0 and ended.told.startswith("pruned")
    (bad.directory / "metrics.jsonl").write_text("{")
    with sqlite3.connect(tmp_path / "optuna.db") as database:
        states = [row[0] for row in database.execute("SELECT state FROM trials ORDER BY number")]
    assert states == ["COMPLETE"] * 5 + ["RUNNING", "PRUNED"]


def test_a_run_that_fails_is_not_begun_again(tmp_path):
    search = opened(tmp_path, 2)
    trial = search.take()
    trial.directory.mkdir()
    trial.log.write_text("training\nerror: the loss is not finite\n")
    assert search.end(trial, 3).told == "ended with code 3: error: the loss is not finite"
    again = opened(tmp_path, 2)
    assert again.ended == 1 and again.failed == {"trial=0,seed=3": 2}
    assert again.take().name == "trial=1,seed=3"


def test_the_ends_of_all_ranges_are_checked_first(tmp_path):
    flags = [run.flags for run in Search(PLAN, tmp_path, 3).corners()]
    for flag, ends in {
        "learning_rate": {"1e-4", "1e-2"}, "dropout": {"0.1", "0.5"}, "head_epochs": {"1", "4"},
        "optimizer": {"adam", "sgd"}, "model": {"lenet"},
    }.items():  # fmt: skip
        assert {values[flag] for values in flags} == ends


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("model = lenet", "nothing to search"),
        ("dropout = 0.5 .. 0.1", "expected an increasing range"),
        ("dropout = 0 .. 1 log", "increasing range, from above 0"),
        ("dropout = 0.1 .. high", "expected one range"),
        ("dropout = 0.1 .. 0.2, 0.5", "expected one range"),
        ("dropout = 0.1 .. 0.2\nfolds = 5", "one seed, no folds and no sections"),
        ("dropout = 0.1 .. 0.2\nseeds = 1, 2", "one seed, no folds and no sections"),
        ("dropout = 0.1 .. 0.2\n[a]\nflip = true", "one seed, no folds and no sections"),
    ],
)
def test_a_plan_that_makes_no_sense_is_refused(text, said, tmp_path):
    with pytest.raises(UserError, match=said):
        Search(text, tmp_path, 3)


def test_another_plan_and_another_study_are_refused(tmp_path):
    run_through(opened(tmp_path, 1))
    opened(tmp_path, 1, PLAN + "# A comment.\n")
    with pytest.raises(UserError, match="holds a study of another plan"):
        opened(tmp_path, 1, PLAN.replace("0.5", "0.6"))
    (tmp_path / "optuna.db").unlink()
    with pytest.raises(UserError, match="holds a study of another plan"):
        opened(tmp_path, 1)


def test_a_damaged_database_is_said(tmp_path):
    (tmp_path / "optuna.db").write_bytes(b"no database" * 1000)
    with pytest.raises(Damaged, match="optuna.db is damaged .*; remove it"):
        opened(tmp_path, 1)
