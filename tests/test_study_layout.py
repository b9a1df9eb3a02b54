"""What study.json may say."""

import json

import pytest

from trainer.errors import Damaged
from trainer.evaluation.study.layout import read_study, study_of

CONTENT = {
    "plan": "recipe = seed, strong\nfolds = 2\n",
    "seeds": None,
    "folds": 2,
    "configurations": [{"name": f"recipe={name}", "values": {}} for name in ("seed", "strong")],
    "runs": [
        {"directory": f"{name},fold={fold}of2", "configuration": f"recipe={name}", "seed": None,
         "fold": fold}
        for name in ("seed", "strong")
        for fold in (0, 1)
    ],
}  # fmt: skip


def read(tmp_path, content):
    (tmp_path / "study.json").write_text(json.dumps(content))
    return read_study(tmp_path)


def test_seeds_and_folds_that_the_plan_does_not_name_are_none(tmp_path):
    study = read(tmp_path, CONTENT)
    assert (study.seeds, study.folds, study.has_folds) == ([None], [0, 1], True)
    assert list(study.configurations) == ["recipe=seed", "recipe=strong"]
    runs = [run | {"fold": None} for run in CONTENT["runs"][::2]]
    study = read(tmp_path, CONTENT | {"folds": None, "runs": runs})
    assert (study.folds, study.has_folds) == ([None], False)


@pytest.mark.parametrize("directory", ["../run", "/run", "..", "", "a/b"])
def test_a_run_lies_in_the_studys_directory(directory, tmp_path):
    first, *others = CONTENT["runs"]
    runs = [first | {"directory": directory}, *others]
    with pytest.raises(Damaged, match="the name of a directory in the study's"):
        read(tmp_path, CONTENT | {"runs": runs})


@pytest.mark.parametrize(
    "change",
    [
        {"runs": CONTENT["runs"][1:]},
        {"runs": [*CONTENT["runs"], CONTENT["runs"][0]]},
        {"runs": [*CONTENT["runs"][:3], CONTENT["runs"][0]]},
        {"folds": 10**15},
        {"configurations": [], "runs": []},
    ],
)
def test_there_is_one_run_for_each_configuration_seed_and_fold(change, tmp_path):
    with pytest.raises(Damaged, match="not one for each configuration, seed and fold"):
        read(tmp_path, CONTENT | change)


def test_a_run_says_of_which_study_it_is(tmp_path):
    read(tmp_path, CONTENT)
    run = CONTENT["runs"][0]
    told = study_of(tmp_path / run["directory"])
    assert told.startswith(
        f"One of {len(CONTENT['runs'])} runs of a study (configuration {run['configuration']}, "
        f"fold {run['fold']} of {CONTENT['folds']} held out): "
    )
    assert study_of(tmp_path / "another") is None
    assert study_of(tmp_path.parent) is None
    (tmp_path / "study.json").write_text("torn")
    assert study_of(tmp_path / run["directory"]) is None
