"""What MLflow's own client reads of a run, beside the run's directory."""

import contextlib
import json
import shutil
import sqlite3
import subprocess
import sys

import pytest

pytest.importorskip("mlflow")
from mlflow import MlflowClient

from tests.conftest import ROOT, run_command
from tests.support.rows import epoch_metrics
from trainer.errors import Diverged, Preempted, UserError
from trainer.training.observers import mlflow_run
from trainer.training.observers.mlflow_run import MlflowRun, require_uri
from trainer.training.progress import Progress
from trainer.training.utilisation.utilisation import Utilisation

CONFIG = {"model": "lenet", "epochs": 3, "fold": None}


@pytest.fixture(scope="module")
def new_database(tmp_path_factory):
    """A database of MLflow without a run; making one takes seconds."""
    path = tmp_path_factory.mktemp("mlflow") / "new.db"
    MlflowClient(tracking_uri=f"sqlite:///{path}").search_experiments()
    return path


@pytest.fixture
def uri(new_database, tmp_path):
    return f"sqlite:///{shutil.copy(new_database, tmp_path / 'mlflow.db')}"


@pytest.fixture
def directory(tmp_path):
    directory = tmp_path / "run"
    directory.mkdir()
    return directory


def the_run(uri):
    client = MlflowClient(tracking_uri=uri)
    experiment = client.get_experiment_by_name("cxr-trainer").experiment_id
    (run,) = client.search_runs([experiment])
    return run


def history(uri, name):
    found = MlflowClient(tracking_uri=uri).get_metric_history(the_run(uri).info.run_id, name)
    return [(point.step, point.value) for point in found]


def train(uri, directory, epochs, end=None):
    """Tells an observer of epochs, as the loop would."""
    observer = MlflowRun(uri, directory, CONFIG)
    observer.begin_training(Progress())
    for metrics in epochs:
        observer.finish_epoch(metrics)
    try:
        if end:
            raise end
    except Exception:
        observer.end()
    else:
        observer.end()


def test_a_run_that_goes_on_goes_on_in_mlflow(uri, directory):
    first = epoch_metrics(epoch=1, utilisation=Utilisation(mfu=0.25, slowest_worker=1))
    train(uri, directory, [first], Preempted("as asked"))
    stopped = the_run(uri)
    assert stopped.info.status == "KILLED" and stopped.data.tags["status"] == "preempted"
    train(uri, directory, [epoch_metrics(epoch=2), epoch_metrics(epoch=3, input_wait=None)])
    done = the_run(uri)
    assert done.info.run_id == stopped.info.run_id
    assert done.info.run_id == json.loads((directory / "mlflow.json").read_text())["run_id"]
    assert done.info.status == "FINISHED" and done.data.tags["status"] == "done"
    assert done.info.run_name == directory.name
    assert done.data.params == {"model": "lenet", "epochs": "3", "fold": "None"}
    assert history(uri, "validation_loss") == [(1, 0.25), (2, 0.25), (3, 0.25)]
    assert history(uri, "input_wait") == [(1, 0.125), (2, 0.125)]
    assert history(uri, "mfu") == [(1, 0.25)] and history(uri, "slowest_worker") == [(1, 1.0)]
    assert "phase" not in done.data.metrics


def test_a_run_that_fails_has_failed_in_mlflow(uri, directory):
    train(uri, directory, [], Diverged("the loss is not finite"))
    assert the_run(uri).info.status == "FAILED"
    assert the_run(uri).data.tags["status"] == "diverged"


def test_a_training_that_another_one_made_way_for_is_done(uri, directory):
    observer = MlflowRun(uri, directory, CONFIG)
    try:
        raise Preempted("as asked")
    except Preempted:  # A caller that goes on with its run at once.
        observer.begin_training(Progress())
        observer.finish_training(Progress())
        observer.end()
    assert the_run(uri).info.status == "FINISHED" and the_run(uri).data.tags["status"] == "done"


def test_another_address_gets_another_run(uri, directory, new_database, tmp_path):
    other = f"sqlite:///{shutil.copy(new_database, tmp_path / 'other.db')}"
    train(uri, directory, [])
    train(other, directory, [])
    assert the_run(uri).info.run_id != the_run(other).info.run_id


def test_the_revision_is_this_checkout(uri, directory):
    train(uri, directory, [])
    found = subprocess.run(  # noqa: S603
        ["git", "-C", ROOT, "rev-parse", "HEAD"],  # noqa: S607
        capture_output=True, text=True, check=True,
    )  # fmt: skip
    assert the_run(uri).data.tags["revision"] == found.stdout.strip()


def test_a_server_that_is_away_for_a_while_gets_all_epochs(uri, directory, monkeypatch, caplog):
    answers = MlflowRun._open

    def away(self):
        raise ConnectionError("connection refused")

    observer = MlflowRun(uri, directory, CONFIG)
    monkeypatch.setattr(MlflowRun, "_open", away)
    observer.begin_training(Progress())
    for epoch in (1, 2):
        observer.finish_epoch(epoch_metrics(epoch=epoch))
    warnings = [record.message for record in caplog.records if record.levelname == "WARNING"]
    assert len(warnings) == 1 and "connection refused" in warnings[0]
    monkeypatch.setattr(MlflowRun, "_open", answers)
    observer.finish_epoch(epoch_metrics(epoch=3))
    observer.end()
    assert [step for step, _ in history(uri, "loss")] == [1, 2, 3]


def test_a_database_that_is_removed_is_told_in_words_and_later_begun_anew(
    uri, directory, new_database, tmp_path
):
    code = (
        "import pathlib, sys; from tests.support.rows import epoch_metrics;"
        "from trainer.training.observers.mlflow_run import MlflowRun;"
        "from trainer.training.progress import Progress; path = pathlib.Path(sys.argv[2]);"
        "observer = MlflowRun(sys.argv[1], path, {}); observer.begin_training(Progress());"
        "pathlib.Path(sys.argv[1].removeprefix('sqlite:///')).unlink();"
        "observer.finish_epoch(epoch_metrics()); observer.end()"
    )
    said = subprocess.run(  # noqa: S603
        [sys.executable, "-c", code, uri, directory], cwd=ROOT, capture_output=True, text=True,
    ).stderr  # fmt: skip
    assert "failed (attempt to write a readonly database); training continues" in said
    assert "MLflow is missing 1 epochs of this run" in said and "Traceback" not in said
    # The run that `mlflow.json` names is nowhere now.
    other = f"sqlite:///{shutil.copy(new_database, tmp_path / 'new.db')}"
    (directory / "mlflow.json").write_text(json.dumps({"uri": other, "run_id": "a" * 32}))
    train(other, directory, [epoch_metrics(epoch=2)])
    assert history(other, "loss") == [(2, 0.5)]


def test_a_server_that_never_answers_ends_nothing(directory, used_port, monkeypatch, caplog):
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_TIMEOUT", "1")
    train(f"http://127.0.0.1:{used_port}", directory, [epoch_metrics()])
    warnings = [record.message for record in caplog.records if record.name == "absl"]
    assert len(warnings) == 2 and warnings[1] == "MLflow is missing 1 epochs of this run"
    assert list(directory.iterdir()) == []


@pytest.mark.parametrize(
    "uri",
    [
        "mlruns", "file:///tmp/mlruns", "ftp://server", "http://", "http://server:port",
        "sqlite://", "sqlite:///", "http://[::1", "databricks",
    ],
)  # fmt: skip
def test_what_is_no_address_is_refused(uri):
    with pytest.raises(UserError, match="expected http://HOST:PORT"):
        require_uri(uri)


def test_an_address_that_can_be_used_is_taken_and_nothing_is_made(tmp_path):
    for uri in ("http://server:5000", "https://server/mlflow", f"sqlite:///{tmp_path}/new/a.db"):
        assert require_uri(uri) == uri
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("uri", ["https://user:hunter2@server", "https://server/?token=hunter2"])
def test_a_password_is_not_repeated(uri):
    with pytest.raises(UserError, match="MLFLOW_TRACKING_PASSWORD") as refusal:
        require_uri(uri)
    assert "hunter2" not in str(refusal.value)


def test_without_the_package_it_says_what_to_install(monkeypatch):
    monkeypatch.setattr(mlflow_run.importlib.util, "find_spec", lambda name: None)
    with pytest.raises(UserError, match=r"cxr-trainer\[mlflow\]"):
        require_uri("http://server:5000")


def test_a_damaged_id_is_refused_before_training(uri, directory):
    (directory / "mlflow.json").write_text('{"uri": ')
    with pytest.raises(UserError, match="remove it to begin another run"):
        MlflowRun(uri, directory, CONFIG)


def test_mlflow_tells_its_makers_nothing(forks, tmp_path):
    code = (
        "import os, pathlib;"
        "own = {name: os.environ[name] for name in ('PATH', 'HOME')};"
        "os.environ.clear(); os.environ.update(own);"  # Without the signs of a test or of a CI.
        "from trainer.training.observers.mlflow_run import MlflowRun;"
        f"MlflowRun('sqlite:///{tmp_path}/a.db', pathlib.Path('{tmp_path}'), {{}});"
        "from mlflow.telemetry import get_telemetry_client; print(get_telemetry_client())"
    )
    done = forks.run("-c", [code], ROOT)
    assert done.stdout == "None\n", done.stderr


def test_mlflow_has_what_metrics_jsonl_has(data_dir, uri, tmp_path):
    workdir = tmp_path / "lenet"
    run_command(
        "trainer.main", "--model=lenet", "--recipe=seed", "--input_pooling=4",
        "--strategy=mirrored", "--virtual_devices=2", "--epochs=1",
        f"--data_dir={data_dir}", f"--workdir={workdir}", f"--mlflow_uri={uri}",
    )  # fmt: skip
    (row,) = map(json.loads, (workdir / "metrics.jsonl").open())
    assert row.pop("phase") and row.pop("epoch") == 1
    assert the_run(uri).data.metrics == pytest.approx(row)
    config = json.loads((workdir / "config.json").read_text())["config"]
    assert the_run(uri).data.params == {name: str(value) for name, value in config.items()}
    shares = [value for name, value in row.items() if name.startswith("time_share_")]
    assert len(shares) == 5 and sum(shares) == pytest.approx(1.0)


def test_a_file_that_is_no_database_is_refused_before_the_training(uri, tmp_path):
    (tmp_path / "text.db").write_text("no database " * 100)
    for name, said in (
        ("run", "unable to open database file"),
        ("text.db", "file is not a database"),
        ("x" * 300, "File name too long"),
    ):
        (tmp_path / "run").mkdir(exist_ok=True)
        with pytest.raises(UserError, match=f"can be written to .*{said}"):
            require_uri(f"sqlite:///{tmp_path / name}")
    before = sorted(tmp_path.iterdir())
    assert require_uri(uri) == uri
    assert require_uri(f"sqlite:///{tmp_path / 'new [ü].db'}").endswith("new [ü].db")
    assert sorted(tmp_path.iterdir()) == before


def test_a_database_that_another_training_writes_to_is_taken(uri):
    with contextlib.closing(sqlite3.connect(uri.removeprefix("sqlite:///"))) as other:
        other.execute("BEGIN EXCLUSIVE")
        assert require_uri(uri) == uri
