import json
import pathlib

import numpy as np
import pytest
from sklearn import metrics

from tests.support.reports import make_examples, write
from tests.support.simulated import CLASSES, simulate
from trainer.data.examples import Examples
from trainer.errors import UserError
from trainer.evaluation.temperature import apply_temperature
from trainer.evaluation.tuning import keep, tune
from trainer.run import Run

CHOSEN = {
    "split": "validation", "split_digest": "0", "examples": 90, "temperature": 1.5,
    "log_loss_before": 0.5, "log_loss_after": 0.4, "sensitivity": 0.95,
    "thresholds": dict.fromkeys(CLASSES, 0.25),
    "conformal": {
        "nominal_coverage": 0.9, "quantile": 0.75, "range": [0.8, 0.9],
        "quantiles": dict.fromkeys(CLASSES, 0.5), "ranges": dict.fromkeys(CLASSES, [0.8, 0.9]),
    },
}  # fmt: skip


def test_what_is_chosen_is_chosen_on_validation():
    labels, probabilities = simulate((20, 30, 40, 0))
    validation = Examples(CLASSES, np.arange(90).astype(str), labels, np.zeros((90, 1, 1, 1)))
    chosen = tune(probabilities, validation, "validation")
    assert (chosen["split"], chosen["examples"]) == ("validation", 90)
    assert chosen["split_digest"] == validation.digest
    every = range(4)
    before = metrics.log_loss(labels, probabilities, labels=every)
    after = apply_temperature(probabilities, chosen["temperature"])
    assert chosen["log_loss_before"] == pytest.approx(before)
    assert chosen["log_loss_after"] == pytest.approx(metrics.log_loss(labels, after, labels=every))
    assert chosen["log_loss_after"] <= chosen["log_loss_before"]
    for index, name in enumerate(CLASSES[:3]):
        found = probabilities[labels == index, index] >= chosen["thresholds"][name]
        assert 0.95 <= found.mean() < 1
    assert chosen["thresholds"]["Viral Pneumonia"] is None


@pytest.fixture
def run(tmp_path):
    """A finished run whose validation split had 90 examples."""
    run = Run(tmp_path)
    config = {"model": "lenet", "dataset": "name:1.0.0", "data_dir": "data"}
    dataset = {"class_names": list(CLASSES), "image_shape": [8, 8, 1], "train_examples": 9}
    run.write_config(
        {
            "config": config,
            "dataset": dataset | {"validation_examples": 90},
            "parameters": {"total": 9, "trainable": 9},
        }
    )
    run.model_file.write_bytes(b"model")
    return run


def test_what_was_chosen_on_the_runs_own_validation_split_is_kept(run):
    keep(CHOSEN, run, "digest")
    assert run.read_calibration("digest") == {"model_sha256": "digest", **CHOSEN}


def test_what_was_chosen_on_another_build_of_the_dataset_is_not_kept(run):
    keep(CHOSEN, run, "digest")
    keep(CHOSEN | {"examples": 91, "temperature": 3.0}, run, "digest")
    assert run.read_calibration("digest")["temperature"] == 1.5


def test_a_run_that_can_only_be_read_is_judged_all_the_same(run, monkeypatch):
    def refuse(*_):
        raise OSError(30, "Read-only file system")

    monkeypatch.setattr(pathlib.Path, "write_text", refuse)
    keep(CHOSEN, run, "digest")
    monkeypatch.undo()
    assert run.read_calibration("digest") is None


def test_a_quantile_that_is_infinite_survives_the_way_to_disk(run):
    labels, probabilities = simulate((20, 30, 40, 0))
    validation = Examples(CLASSES, np.arange(90).astype(str), labels, np.zeros((90, 1, 1, 1)))
    chosen = tune(probabilities, validation, "validation")
    assert chosen["conformal"]["quantiles"]["Viral Pneumonia"] is None
    keep(chosen, run, "digest")
    expected = json.loads(json.dumps({"model_sha256": "digest", **chosen}, allow_nan=False))
    assert run.read_calibration("digest") == expected


@pytest.mark.parametrize(
    "change",
    [{"quantile": 1.5}, {"quantile": "0.5"}, {"quantiles": {}}, {"nominal_coverage": 90}],
)
def test_quantiles_that_cannot_be_are_not_believed(run, change):
    keep(CHOSEN | {"conformal": CHOSEN["conformal"] | change}, run, "digest")
    with pytest.raises(UserError, match="calibration.json is damaged .field 'conformal'"):
        run.read_calibration("digest")


def test_what_an_earlier_version_chose_is_still_read(run, tmp_path):
    keep({name: value for name, value in CHOSEN.items() if name != "conformal"}, run, "digest")
    kept = run.read_calibration("digest")
    labels, shares = simulate((6, 9, 12, 3))
    report = write(tmp_path / "report", make_examples(labels), kept=kept, model=shares)
    assert report["calibration"]["temperature"] == 1.5
    assert report["conformal"] is None
    assert "an earlier version" in report["why"]["conformal"]
    assert report["why"]["conformal"] in (tmp_path / "report/report.html").read_text()
