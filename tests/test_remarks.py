import pathlib

import numpy as np

from cxr_command.radiograph.account import Account
from trainer.data.examples import Examples
from trainer.evaluation.remarks import remarks


def make_examples(size=200, **known):
    known = {"groups": np.arange(size)} | known
    return Examples(
        class_names=("COVID", "Normal"), ids=np.arange(size).astype(str),
        labels=np.arange(size) % 2, images=np.zeros((size, 2, 2, 1), np.uint8), **known,
    )  # fmt: skip


def test_there_is_nothing_to_say_of_a_fair_test():
    assert remarks(make_examples(), "test", 0, {"a": 300}, {"a": 300}) == []


def test_what_limits_the_numbers_is_said():
    (few, absent) = remarks(make_examples(1), "test", 0, {"a": 300}, {"a": 300})
    assert "Only 1 example: too few" in few
    assert "No example of Normal" in absent
    (said,) = remarks(make_examples(), "train[:9%]", 20, {"a": 300}, {"a": 300})
    assert "on 20 of these examples (train[:9%]): this is not a test" in said
    (copies, left_out) = remarks(
        make_examples(groups=None, account=Account([(pathlib.Path("COVID/x.png"), "no image")])),
        None,
        0,
        {},
        {"a": 300},
    )[::-1]
    assert left_out == "0 radiographs read, 1 file left out: 1 no image (COVID/x.png)."
    assert "copies" in copies


def test_a_run_of_another_build_of_the_dataset_is_pointed_out():
    (said,) = remarks(make_examples(), "test", 0, {"a": 300, "b": 300}, {"a": 300, "b": 299})
    assert said.startswith("b was trained on 299 examples")
