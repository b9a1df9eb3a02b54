import hashlib
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
    with pytest.raises(UserError, match="holds no run"):
        best_run(tmp_path)


def test_a_damaged_model_is_the_users_mistake(tmp_path):
    run = make_run(tmp_path / "run", 0.1)
    run.model_file.write_bytes(b"not a model")
    with pytest.raises(UserError, match="model.keras"):
        run.load_model()


def test_rows_of_metrics_survive_the_way_to_disk(tmp_path):
    run = Run(tmp_path)
    rows = [{"epoch": 1, "loss": 0.5}, {"epoch": 2, "loss": 0.25}]
    run.write_metrics(rows)
    assert run.read_metrics() == rows
    assert [json.loads(line) for line in (tmp_path / "metrics.jsonl").open()] == rows
    assert not list(tmp_path.glob("*.partial"))


def test_a_calibration_holds_for_the_model_it_was_made_for(tmp_path):
    run = make_run(tmp_path, 0.5)
    assert run.read_calibration() is None
    run.model_file.write_bytes(b"first")
    run.write_calibration({"temperature": 1.5})
    content = run.read_calibration()
    assert content["temperature"] == 1.5
    assert content["model_sha256"] == hashlib.sha256(b"first").hexdigest()
    run.model_file.write_bytes(b"trained further")
    assert run.read_calibration() is None
