import json

import pytest

from trainer.errors import UserError
from trainer.run import Run, best_run


def make_run(directory, loss):
    run = Run(directory)
    directory.mkdir(exist_ok=True)
    run.model_file.touch()
    run.write_status("done", 1, loss)
    return run


def test_best_run_has_the_lowest_validation_loss(tmp_path):
    for name, loss in {"a": 0.7, "b": 0.3, "c": None, "d": 0.5}.items():
        make_run(tmp_path / name, loss)
    assert best_run(tmp_path).path == tmp_path / "b"


def test_another_number_of_the_best_epoch_can_choose_the_run(tmp_path):
    for name, accuracies in {"a": [0.9, 0.5], "b": [0.1, 0.7]}.items():
        run = make_run(tmp_path / name, 0.5)
        run.write_status("done", 2, 0.5)
        run.write_metrics(
            [{"epoch": e, "validation_accuracy": a} for e, a in enumerate(accuracies, start=1)]
        )
    # The accuracy of 0.9 was that of an epoch that was not kept.
    assert best_run(tmp_path, "validation_accuracy").path == tmp_path / "b"
    with pytest.raises(UserError, match="has the number f1; expected one of .*validation_accuracy"):
        best_run(tmp_path, "f1")


def test_no_run_with_a_model_is_the_users_mistake(tmp_path):
    with pytest.raises(UserError, match="has no run"):
        best_run(tmp_path)


def test_rows_of_metrics_survive_the_way_to_disk(tmp_path):
    run = Run(tmp_path)
    rows = [{"epoch": 1, "loss": 0.5}, {"epoch": 2, "loss": 0.25}]
    run.write_metrics(rows)
    assert run.read_metrics() == rows
    assert [json.loads(line) for line in (tmp_path / "metrics.jsonl").open()] == rows
    assert not list(tmp_path.glob("*partial*"))


CALIBRATION = {
    "split": "validation", "examples": 9, "temperature": 1.5, "log_loss_before": 0.5,
    "log_loss_after": 0.4, "sensitivity": 0.95, "thresholds": {"a": 0.5, "b": None},
}  # fmt: skip


@pytest.fixture
def configured(tmp_path):
    """A run of two classes with a config.json."""
    run = make_run(tmp_path, 0.5)
    dataset = {"class_names": ["a", "b"], "image_shape": [8, 8, 1]}
    run.write_config(
        {
            "config": {"model": "lenet", "dataset": "name:1.0.0", "data_dir": "data"},
            "dataset": dataset | {"train_examples": 9, "validation_examples": 9},
            "parameters": {"total": 9, "trainable": 9},
        }
    )
    return run


def test_a_calibration_holds_for_the_model_it_was_made_for(configured):
    assert configured.read_calibration("first") is None
    configured.write_calibration(CALIBRATION, "first")
    assert configured.read_calibration("first") == {"model_sha256": "first", **CALIBRATION}
    assert configured.read_calibration("trained further") is None


@pytest.mark.parametrize(
    ("change", "named"),
    [
        ({"temperature": 0}, "temperature"),
        ({"thresholds": {"a": 0.5}}, "thresholds"),
        ({"thresholds": {"a": 0.5, "b": "x"}}, "thresholds"),
        ({"sensitivity": 95}, "sensitivity"),
        ({"log_loss_after": None}, "log_loss_after"),
    ],
)
def test_a_calibration_that_cannot_be_is_not_believed(configured, change, named):
    configured.write_calibration(CALIBRATION | change, "first")
    with pytest.raises(UserError, match=f"calibration.json is damaged .field '{named}'"):
        configured.read_calibration("first")


@pytest.mark.parametrize("names", [[], ["a"], ["a", "a"], ["a", 1]])
def test_class_names_that_do_not_tell_classes_apart_are_not_believed(configured, names):
    config = configured.read_config()
    config["dataset"]["class_names"] = names
    configured.write_config(config)
    with pytest.raises(UserError, match="config.json"):
        configured.finished_config()


@pytest.mark.parametrize("name", ["train_split", "validation_split", "fold", "source_share"])
@pytest.mark.parametrize("value", [None, 3, ["train"], {}])
def test_a_split_that_is_no_text_is_not_believed(configured, name, value):
    config = configured.read_config()
    config["config"][name] = value
    configured.write_config(config)
    with pytest.raises(UserError, match="config.json is damaged .field 'config'"):
        configured.finished_config()


def test_a_path_that_no_file_can_have_is_a_sentence(tmp_path):
    with pytest.raises(UserError, match="File name too long"):
        Run(tmp_path / ("x" * 300)).finished_config()
    with pytest.raises(UserError, match="has no run"):
        best_run(tmp_path / ("x" * 300))
