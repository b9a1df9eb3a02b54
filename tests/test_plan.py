"""A study's plan."""

import itertools

import pytest

from trainer.errors import UserError
from trainer.studies import plan

TEXT = """
# A comment.
model = lenet
learning_rate = 1e-3, 2e-3  # Another.
dropout = 0.2,0.4
"""


def runs_of(text):
    return {run.directory: run.flags for run in plan.parse(text).runs}


def test_every_combination_of_the_values_is_a_run_named_after_them():
    assert runs_of(TEXT) == {
        f"learning_rate={rate},dropout={share}": {
            "model": "lenet", "learning_rate": rate, "dropout": share,
        }
        for rate in ("1e-3", "2e-3") for share in ("0.2", "0.4")
    }  # fmt: skip
    assert runs_of("model = lenet") == {"run": {"model": "lenet"}}


def test_every_configuration_is_trained_with_every_seed_and_fold():
    made = plan.parse(f"{TEXT}seeds = 3, 1\nfolds = 4")
    assert (made.seeds, made.folds) == ((3, 1), 4)
    assert len(made.configurations) == 4
    assert [(run.seed, run.fold, run.configuration) for run in made.runs] == list(
        itertools.product([3, 1], [(fold, 4) for fold in range(4)], made.configurations)
    )
    first, last = made.runs[0], made.runs[-1]
    assert first.directory == "learning_rate=1e-3,dropout=0.2,seed=3,fold=0of4"
    assert first.flags == {
        "model": "lenet", "learning_rate": "1e-3", "dropout": "0.2", "seed": "3", "fold": "0/4",
    }  # fmt: skip
    assert last.directory == "learning_rate=2e-3,dropout=0.4,seed=1,fold=3of4"
    assert list(runs_of("model = lenet\nseeds = 0")) == ["seed=0"]


def test_a_section_is_a_configuration_with_the_shared_lines_under_its_own():
    made = plan.parse(
        "model = lenet\nflip = true\nseeds = 0\n[ as it is ]\n[without flip]\nflip = false\n"
        "[rates]\nlearning_rate = 1e-3, 1e-2"
    )
    assert {one.name: one.values for one in made.configurations} == {
        "as it is": {"model": "lenet", "flip": "true"},
        "without flip": {"model": "lenet", "flip": "false"},
        "rates,learning_rate=1e-3": {"model": "lenet", "flip": "true", "learning_rate": "1e-3"},
        "rates,learning_rate=1e-2": {"model": "lenet", "flip": "true", "learning_rate": "1e-2"},
    }
    assert made.runs[1].directory == "without flip,seed=0"


@pytest.mark.parametrize(
    "values",
    [
        ["a/b", "a/c", "a_b"],
        ["x" * 300, "x" * 299 + "y"],
        ["\u00e4" * 150, "\u00e4" * 149 + "o"],
        ["[1]", "*", "?", "..", "\u00e4 b"],
    ],
)
def test_each_run_has_a_directory_of_its_own_that_can_be_made(values, tmp_path):
    runs = runs_of(f"dataset = {', '.join(values)}")
    assert [run["dataset"] for run in runs.values()] == values
    for name in runs:
        (tmp_path / name).mkdir()
    assert len(list(tmp_path.iterdir())) == len(values)


@pytest.mark.parametrize("section", ["..", ".", "../../x", "a/b"])
def test_a_section_leads_out_of_no_directory(section, tmp_path):
    (name,) = runs_of(f"model = lenet\n[{section}]\n")
    assert "/" not in name and name not in (".", "..")
    (tmp_path / name).mkdir()


def test_a_name_that_is_cut_stays_the_same_and_depends_on_all_values():
    text = "dropout=" + "0" * 300
    assert plan._directory_name(text) == plan._directory_name(text)
    names = {plan._directory_name(text + end) for end in ("1", "2", "")}
    assert len(names) == 3 and all(len(name) == 255 for name in names)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("model lenet", "line 1.*'model lenet'.*expected flag = value"),
        ("\nmodel =", "line 2"),
        ("workdir = x", "line 1.*workdir.*leave it out"),
        ("model = a\nseed = 1", "line 2.*seed: use seeds = 0, 1, 2"),
        ("fold = 0/5", "line 1.*fold: use folds = 5"),
        ("epochs = 1\nepochs = 2", "line 2.*epochs"),
        ("epochs = 1, 2, 1", "line 1.*twice"),
        ("model = le\0net", "line 1"),
        ("# nothing", "empty"),
        ("seeds = 0, 1", "empty"),
        ("model = a\nseeds = 1, one", "expected whole numbers"),
        ("model = a\nseeds = 1, 01", "a seed twice"),
        ("model = a\nseeds = -1", "expected whole numbers"),
        ("model = a\nfolds = 2", "folds = 2: expected one number from 3 to 999"),
        ("model = a\nfolds = 3, 5", "folds = 3, 5: expected one number"),
        ("model = a\nfolds = all", "folds = all: expected one number"),
        ("[]\nmodel = a", "line 1.*expected a name"),
        ("model = a\n[b]\n[b]", "line 3.*no other section has"),
        ("model = a\n[b]\nseeds = 1", "line 3.*before the first section"),
        ("[a]\nx = 1, 2\n[a,x=1]\nx = 3", "two configurations of the plan are called a,x=1"),
    ],
)
def test_a_line_that_makes_no_sense_is_named(text, said):
    with pytest.raises(UserError, match=said):
        plan.parse(text)
