"""A trial's result is kept in the cache folder, and a folder that keeps nothing ends nothing."""

import pytest

from trainer.training.kept_trial import KeptTrial
from trainer.training.step_trial import Outcome

OUTCOMES = {True: Outcome(2.0, 30.0), False: Outcome(1.0, 20.0)}


@pytest.fixture
def trial(tmp_path, monkeypatch):
    monkeypatch.setenv("CXR_CACHE_DIR", str(tmp_path))
    return KeptTrial({"model": "lenet"})


def test_what_was_kept_is_read_by_the_same_program_alone(trial):
    assert trial.read() is None
    trial.write(OUTCOMES)
    assert trial.read() == OUTCOMES
    assert KeptTrial({"model": "vgg19"}).read() is None


@pytest.mark.parametrize("content", [b"", b"{", b"[]", b"\xff", b'{"program": {}}'])
def test_a_damaged_file_is_replaced(trial, content):
    trial.path.write_bytes(content)
    assert trial.read() is None
    trial.write(OUTCOMES)
    assert trial.read() == OUTCOMES


@pytest.mark.parametrize(
    "outcomes",
    [
        {True: Outcome(None, 30.0), False: Outcome(1.0, 20.0)},
        {True: Outcome(2.0, None), False: Outcome(1.0, 20.0)},
        {True: Outcome(), False: Outcome(1.0, 20.0)},
        {True: Outcome(2.0, float("nan")), False: Outcome(1.0, 20.0)},
        {True: Outcome(2.0, -1.0), False: Outcome(1.0, 20.0)},
        {True: Outcome(2.0, True), False: Outcome(1.0, 20.0)},
        {True: Outcome(2.0, 10**400), False: Outcome(1.0, 20.0)},
        {True: Outcome(2.0, 30.0, "a fault"), False: Outcome(1.0, 20.0)},
        {True: Outcome(error="full", is_of_memory=True), False: Outcome(1.0, 20.0)},
        # The next run would end where this one went on.
        {True: Outcome(error="a fault"), False: Outcome(error="another")},
    ],
)
def test_what_no_trial_could_have_measured_is_not_believed(trial, outcomes):
    trial.write(outcomes)
    assert trial.read() is None
    trial.write({True: Outcome(error="a fault"), False: Outcome(1.0, 0.0)})
    assert trial.read()[True].error == "a fault"


def test_a_file_that_breaks_off_anywhere_is_not_believed(trial):
    trial.write(OUTCOMES)
    content = trial.path.read_text()
    for length in range(len(content) - 1):  # The last character is the line's end.
        trial.path.write_text(content[:length])
        assert trial.read() is None


def test_what_cannot_be_kept_leaves_nothing(trial, tmp_path):
    trial.path.mkdir()
    trial.write(OUTCOMES)
    assert trial.read() is None
    assert list(tmp_path.iterdir()) == [trial.path]


def test_a_folder_that_cannot_be_ends_nothing(monkeypatch):
    monkeypatch.setenv("CXR_CACHE_DIR", "x" * 300)
    trial = KeptTrial({"model": "lenet"})
    trial.write(OUTCOMES)
    assert trial.read() is None
