import numpy as np
import pytest

from trainer.data.cases import Cases
from trainer.errors import UserError
from trainer.explain.subjects import Choice

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


def test_a_choice_of_nothing_is_the_users_mistake():
    with pytest.raises(UserError, match="none of the 6 radiographs"):
        Choice(classes=["Normal"], ids=["a"]).rows(CASES, None)
