import os
import pathlib

import numpy as np
import PIL.Image
import pytest

from trainer.data.cases import Cases
from trainer.errors import Unreadable, UserError
from trainer.explain.subjects import Choice, subjects_of_files

CASES = Cases(
    class_names=("COVID", "Normal"),
    ids=np.array(["a", "b", "c", "d", "e", "f"]),
    labels=np.array([0, 1, 0, 1, 0, 1]),
    images=np.zeros((6, 4, 4, 1), np.uint8),
)
PREDICTED = np.array([0, 0, 1, 1, 0, 1])


@pytest.mark.parametrize(
    ("choice", "taken"),
    [
        (Choice(), "abcdef"),
        (Choice(classes=["Normal"]), "bdf"),
        (Choice(ids=["f", "a"]), "af"),
        (Choice(answered="correct"), "adef"),
        (Choice(answered="incorrect"), "bc"),
        (Choice(per_class=1), "ab"),
        (Choice(most=3), "abc"),
        (Choice(classes=["COVID"], answered="correct", per_class=1), "a"),
        (Choice(answered="correct", per_class=1), "ad"),
    ],
)
def test_choices_can_be_combined(choice, taken):
    assert "".join(CASES.ids[choice.rows(CASES, PREDICTED)]) == taken


def test_a_users_file_of_any_name_is_explained_and_a_damaged_one_left_out(tmp_path):
    for name in (b"$x\xff.png", b"a\nb.png"):
        PIL.Image.fromarray(np.eye(9, dtype=np.uint8)).save(tmp_path / os.fsdecode(name))
    (tmp_path / "damaged.png").write_bytes(b"no image")
    paths = [*sorted(tmp_path.iterdir()), tmp_path / "missing.png"]
    subjects = list(subjects_of_files(paths, (9, 9, 1), None))
    assert sorted(subject.id for subject in subjects) == ["$x\\xff.png", "a\nb.png"]
    assert all(subject.source == str(tmp_path / subject.id) for subject in subjects)


def test_a_users_file_that_cannot_be_read_stops_the_command(tmp_path, monkeypatch):
    PIL.Image.fromarray(np.eye(9, dtype=np.uint8)).save(tmp_path / "a.png")

    def fail(path):
        raise OSError(13, "Permission denied")

    monkeypatch.setattr(pathlib.Path, "read_bytes", fail)
    with pytest.raises(Unreadable, match="a.png cannot be read .Permission denied"):
        list(subjects_of_files([tmp_path / "a.png"], (9, 9, 1), None))


def test_a_choice_of_nothing_is_the_users_mistake():
    with pytest.raises(UserError, match="none of the 6 radiographs"):
        Choice(classes=["Normal"], ids=["a"]).rows(CASES, None)
