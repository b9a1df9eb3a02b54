"""The file study.json, and which plans may follow each other."""

import json

import pytest

from trainer.errors import Damaged, UserError
from trainer.studies import record
from trainer.studies.plan import parse

PLAN = "model = lenet\nrecipe = seed, strong\nseeds = 0, 1\nfolds = 5\n"


def test_it_lists_configurations_and_runs(tmp_path):
    record.write(tmp_path, record.content_of(parse(PLAN)))
    content = json.loads((tmp_path / "study.json").read_text())
    assert [path.name for path in tmp_path.iterdir()] == ["study.json"]
    assert content == record.read(tmp_path)
    assert (content["plan"], content["seeds"], content["folds"]) == (PLAN, [0, 1], 5)
    assert content["configurations"] == [
        {"name": f"recipe={recipe}", "values": {"model": "lenet", "recipe": recipe}}
        for recipe in ("seed", "strong")
    ]
    assert content["runs"] == [
        {
            "directory": f"recipe={recipe},seed={seed},fold={fold}of5",
            "configuration": f"recipe={recipe}", "seed": seed, "fold": fold,
        }
        for seed in (0, 1) for fold in range(5) for recipe in ("seed", "strong")
    ]  # fmt: skip


def test_without_seeds_and_folds_they_are_null():
    content = record.content_of(parse("model = lenet"))
    assert content["seeds"] is content["folds"] is None
    run = {"directory": "run", "configuration": "run", "seed": None, "fold": None}
    assert content["runs"] == [run]


@pytest.mark.parametrize(
    ("before", "after", "said"),
    [
        (PLAN, PLAN + "# A comment.\n", None),
        (PLAN, PLAN.replace("0, 1", "0, 1, 2"), None),
        (PLAN, PLAN.replace("strong", "strong, other"), None),
        (PLAN, PLAN.replace("0, 1", "0"), "run recipe=seed,seed=1,fold=0of5 is not in this one"),
        (PLAN, PLAN.replace("= 5", "= 3"), "is not in this one"),
        (PLAN, PLAN.replace(", strong", ""), "is not in this one"),
        (PLAN, PLAN + "epochs = 3\n", "epochs is not set there, 3 in this one"),
        (PLAN, PLAN.replace("lenet", "vgg19"), "model is lenet there, vgg19 in this one"),
        ("model = a\n[x]\nflip = true", "model = a\n[x]\nflip = false", "flip is true there"),
        ("model = a\n[x]\nflip = true", "model = a\n[x]\nflip = true\n[y]\nflip = false", None),
    ],
)
def test_a_plan_may_add_runs_and_change_none(before, after, said, tmp_path):
    record.require_extended(tmp_path, parse(before))
    record.write(tmp_path, record.content_of(parse(before)))
    if said is None:
        record.require_extended(tmp_path, parse(after))
        return
    with pytest.raises(UserError, match=f"holds a study of another plan: .*{said}"):
        record.require_extended(tmp_path, parse(after))


def test_a_damaged_record_is_said(tmp_path):
    (tmp_path / "study.json").write_text('{"plan": 1}')
    with pytest.raises(Damaged, match="study.json is damaged .*'plan' is 1"):
        record.require_extended(tmp_path, parse(PLAN))
