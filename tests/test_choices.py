import types

import numpy as np
import pytest

from tests.support.reports import make_examples
from tests.support.simulated import CLASSES, simulate
from trainer.errors import UserError
from trainer.evaluation.tuning import tune
from trainer.prediction import choices
from trainer.prediction.choices import Choices, choose
from trainer.prediction.read_ahead import FileRead
from trainer.prediction.table import Table

LABELS, SHARES = simulate()
VALIDATION = make_examples(LABELS)
TUNED = tune(SHARES, VALIDATION, "validation")
EARLIER = {name: value for name, value in TUNED.items() if name != "conformal"} | {
    "temperature": 9.0
}


class FakeRun:
    """A run that has kept something, and may be given something else to keep."""

    def __init__(self, kept):
        self.kept = kept

    def read_calibration(self, _):
        return self.kept


def fake_network(kept):
    return types.SimpleNamespace(
        content=None, best=types.SimpleNamespace(sha256="digest"), run=FakeRun(kept)
    )


@pytest.fixture
def chosen(monkeypatch):
    """What is chosen for runs that have kept something, with or without their dataset."""

    def choose_for(*kept, has_dataset=True, data_dir=None):
        class Dataset:
            def digests(self):
                return {}

        def dataset(*_):
            if has_dataset:
                return Dataset()
            raise UserError("it is gone")

        def keep(tuning, run, *_):
            run.kept = tuning

        monkeypatch.setattr(choices, "splits_of", lambda _: ("train", "validation"))
        monkeypatch.setattr(choices, "one_dataset", dataset)
        monkeypatch.setattr(choices, "load_split", lambda *_: VALIDATION)
        monkeypatch.setattr(choices, "keep", keep)
        networks = {str(index): fake_network(one) for index, one in enumerate(kept)}
        found = choose(networks, lambda _: (SHARES, None), "COVID", data_dir)
        return found, [network.run.kept for network in networks.values()]

    return choose_for


ALL = Choices(TUNED["temperature"], TUNED["thresholds"]["COVID"], TUNED["conformal"]["quantiles"])


def test_what_an_evaluation_kept_is_taken(chosen):
    assert chosen(TUNED, has_dataset=False) == (ALL, [TUNED])


@pytest.mark.parametrize("kept", [None, EARLIER])
def test_what_is_missing_is_chosen_anew_and_kept(chosen, kept):
    assert chosen(kept) == (ALL, [TUNED])


def test_several_runs_keep_nothing(chosen):
    assert chosen(TUNED, EARLIER) == (ALL, [TUNED, EARLIER])


def test_without_the_dataset_an_earlier_choice_has_no_sets(chosen, caplog):
    found, (kept,) = chosen(EARLIER, has_dataset=False)
    assert (found, kept) == (Choices(9.0, TUNED["thresholds"]["COVID"], None), EARLIER)
    assert "prediction sets are left out: it is gone" in caplog.text
    assert "calibrated" not in caplog.text
    assert chosen(None, has_dataset=False) == (Choices(), [None])
    with pytest.raises(UserError, match="it is gone"):
        chosen(EARLIER, has_dataset=False, data_dir="gone")


def test_the_table_names_the_classes_of_the_set():
    quantiles = dict(zip(CLASSES, [0.5, 0.75, None, 0.2], strict=True))
    table = Table(CLASSES, 0, Choices(quantiles=quantiles))
    shares = np.array([[0.5, 0.25, 0.25, 0], [0.1, 0.1, 0, 0.8]])
    image = np.zeros((2, 2, 1), np.uint8)
    files = [FileRead("a.png", image), FileRead("b.png", None, reason="torn"), FileRead("c", image)]
    rows = [
        dict(zip(table.header, row, strict=True)) for row in table.rows(files, shares, None, [])
    ]
    sets = [row["set"] for row in rows]
    assert sets == ["COVID; Lung_Opacity; Normal", "", "Normal; Viral Pneumonia"]
    nothing = Table(CLASSES, 0, Choices(quantiles=dict.fromkeys(CLASSES, 0.1)))
    assert nothing.rows(files[:1], shares[:1], None, [])[0][nothing.header.index("set")] == ""
    assert "set" not in Table(CLASSES, 0, Choices()).header
