import json
import subprocess
import sys

import numpy as np
import pytest

from benchmarks import recipes
from tests.conftest import ROOT
from trainer.recipes import RECIPES
from trainer.training.config import defaults

ROWS = [
    recipes.Variant("seed", ["--recipe=seed"], None),
    recipes.Variant("strong", ["--recipe=strong"], "seed"),
]


def test_means_deviations_and_differences_are_numpys():
    rng = np.random.default_rng(0)
    numbers = ("accuracy", "ece", "log_loss", "seconds")
    values = {row.name: rng.random((3, 4)) for row in ROWS}
    measured = {
        name: [dict(zip(numbers, run, strict=True)) for run in runs]
        for name, runs in values.items()
    }
    seed, strong = recipes.summarise(measured, ROWS)
    assert "accuracy_difference" not in seed
    difference = values["strong"] - values["seed"]
    for column, number in enumerate(numbers):
        for entry, expected in (
            (strong[number], values["strong"][:, column]),
            (strong[f"{number}_difference"], difference[:, column]),
        ):
            assert entry["mean"] == pytest.approx(expected.mean())
            assert entry["sd"] == pytest.approx(expected.std(ddof=1))


def test_one_seed_has_no_deviation():
    run = {"accuracy": 0.5, "ece": 0.1, "log_loss": 1.0, "seconds": 3.0}
    (entry,) = recipes.summarise({"seed": [run]}, ROWS[:1])
    assert entry["accuracy"] == {"mean": 0.5, "sd": None}


def test_the_ablation_removes_each_ingredient_of_strong_and_nothing_else():
    removed = set()
    for row in recipes.variants("lenet", ["seed", "strong"], ablation=True)[2:]:
        assert row.flags[0] == "--recipe=strong" and row.against == "strong"
        for flag in row.flags[1:]:
            name = flag.removeprefix("--").removeprefix("no").partition("=")[0]
            assert name in RECIPES["strong"]["lenet"]
            removed.add(name)
    seed, strong = (RECIPES[name]["lenet"] for name in ("seed", "strong"))
    known = defaults()
    differing = {
        name
        for name in seed.keys() | strong.keys()
        if seed.get(name, known[name]) != strong.get(name, known[name])
    }
    # How long and how fast, which no recipe is without.
    assert differing - removed == {"epochs", "learning_rate", "patience", "global_batch_size"}
    assert removed - differing == {"flip"}


@pytest.mark.slow
def test_what_is_done_is_not_done_again(data_dir, tmp_path):
    arguments = (
        f"--data_dir={data_dir}", f"--work_dir={tmp_path}", "--recipes=seed,strong", "--seeds=0",
        "--main_flag=epochs=1",
    )  # fmt: skip
    first = last_line(arguments)
    models = sorted(tmp_path.glob("*/run/model.keras"))
    times = [model.stat().st_mtime_ns for model in models]
    assert len(models) == 2
    assert last_line(arguments) == first
    assert times == [model.stat().st_mtime_ns for model in models]


def last_line(arguments):
    command = [sys.executable, "-m", "benchmarks.recipes", *arguments]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)  # noqa: S603
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout.splitlines()[-1])
