import os
import pathlib

import numpy as np
import PIL.Image
import pytest

from cxr_command.radiograph.account import Account
from trainer.data.examples import Examples
from trainer.errors import Unreadable, UserError
from trainer.explain.selection import Selection, examples_of_files

EXAMPLES = Examples(
    class_names=("COVID", "Normal"),
    ids=np.array(["a", "b", "c", "d", "e", "f"]),
    labels=np.array([0, 1, 0, 1, 0, 1]),
    images=np.zeros((6, 4, 4, 1), np.uint8),
)
PREDICTED = np.array([0, 0, 1, 1, 0, 1])


@pytest.mark.parametrize(
    ("selection", "taken"),
    [
        (Selection(), "abcdef"),
        (Selection(classes=["Normal"]), "bdf"),
        (Selection(ids=["f", "a"]), "af"),
        (Selection(answered="correct"), "adef"),
        (Selection(answered="incorrect"), "bc"),
        (Selection(per_class=1), "ab"),
        (Selection(most=3), "abc"),
        (Selection(classes=["COVID"], answered="correct", per_class=1), "a"),
        (Selection(answered="correct", per_class=1), "ad"),
    ],
)
def test_selections_can_be_combined(selection, taken):
    assert "".join(EXAMPLES.ids[selection.rows(EXAMPLES, PREDICTED)]) == taken


def test_a_users_file_of_any_name_is_explained_and_a_damaged_one_left_out(tmp_path):
    for name in (b"$x\xff.png", b"a\nb.png"):
        PIL.Image.fromarray(np.eye(9, dtype=np.uint8)).save(tmp_path / os.fsdecode(name))
    (tmp_path / "damaged.png").write_bytes(b"no image")
    paths = [*sorted(tmp_path.iterdir()), tmp_path / "missing.png"]
    account = Account()
    examples = list(examples_of_files(paths, (9, 9, 1), None, account))
    assert sorted(example.id for example in examples) == ["$x\\xff.png", "a\nb.png"]
    assert (account.read, [p.name for p, _ in account.left_out]) == (
        2,
        ["damaged.png", "missing.png"],
    )
    assert all(example.source == str(tmp_path / example.id) for example in examples)


def test_a_users_file_that_cannot_be_read_stops_the_command(tmp_path, monkeypatch):
    PIL.Image.fromarray(np.eye(9, dtype=np.uint8)).save(tmp_path / "a.png")

    def fail(path):
        raise OSError(13, "Permission denied")

    monkeypatch.setattr(pathlib.Path, "read_bytes", fail)
    with pytest.raises(Unreadable, match="a.png cannot be read .Permission denied"):
        list(examples_of_files([tmp_path / "a.png"], (9, 9, 1), None, Account()))


def test_a_selection_of_nothing_is_the_users_mistake():
    with pytest.raises(UserError, match="none of the 6 radiographs"):
        Selection(classes=["Normal"], ids=["a"]).rows(EXAMPLES, None)
