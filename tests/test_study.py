import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time

import psutil
import pytest

from tests.conftest import ROOT, run_command
from tests.support import small_dataset
from tests.support.processes import is_alive, wait_until
from tests.support.trainings import assert_same_run
from trainer import study
from trainer.errors import Preempted, UserError
from trainer.studies.checks import require_valid
from trainer.studies.plan import parse
from trainer.studies.progress import StudyProgress


def test_a_second_study_in_the_directory_is_refused_and_names_the_first(tmp_path):
    with study._alone_in(tmp_path):
        with pytest.raises(UserError, match=f"in use by process {os.getpid()} on "):
            with study._alone_in(tmp_path):
                pass
        with study._alone_in(tmp_path / "elsewhere"):
            pass
    with study._alone_in(tmp_path):
        pass


@pytest.mark.parametrize(
    ("codes", "is_asked", "ends", "said"),
    [
        ({"a": 0, "b": 0}, False, None, ""),
        ({"a": 0, "b": 0}, True, None, ""),
        ({"a": 0, "b": 2}, False, UserError, "1 of 3 runs failed: .*b/log.txt"),
        ({"a": 75, "b": 2}, False, UserError, "1 of 3 runs failed: .*b/log.txt"),
        ({"a": 75, "b": 0}, False, Preempted, "2 of 3 runs are done; the same command continues"),
        ({"a": 0, "b": 143}, True, Preempted, "2 of 3 runs are done"),
        ({"a": 75}, True, Preempted, "1 of 3 runs are done"),
    ],
)
def test_it_ends_as_its_trainings_did(codes, is_asked, ends, said, tmp_path):
    if ends is None:
        study._raise_if_unfinished(tmp_path, 3, 1, codes, is_asked)
        return
    with pytest.raises(ends, match=said):
        study._raise_if_unfinished(tmp_path, 3, 1, codes, is_asked)


def start_study(arguments):
    command = [sys.executable, "-m", "trainer.study", *arguments]
    return subprocess.Popen(command, cwd=ROOT, stderr=subprocess.PIPE, text=True)  # noqa: S603


def trainer_of(process, run):
    """The training of a study, once it has finished an epoch."""
    wait_until((run / "metrics.jsonl").exists)
    (trainer,) = psutil.Process(process.pid).children()
    return trainer


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP, signal.SIGINT, signal.SIGKILL])
def test_a_study_that_is_ended_leaves_no_trainer_and_goes_on(number, data_dir, tmp_path):
    file, runs = tmp_path / "plan.txt", tmp_path / "study [1] *"
    file.write_text(
        f"model = lenet\ndata_dir = {data_dir}\nepochs = 3\nrecipe = seed\ndeterministic = true\n"
        "learning_rate = 1e-5, 2e-5\n"
    )
    arguments = (f"--plan={file}", f"--study_dir={runs}")
    process = start_study(arguments)
    trainer = trainer_of(process, runs / "learning_rate=1e-5")
    process.send_signal(number)
    _, said = process.communicate(timeout=120)
    wait_until(lambda: not is_alive(trainer))
    if number != signal.SIGKILL:
        assert process.returncode == 75, said
        assert "stopped: 0 of 2 runs are done; the same command continues" in said
        status = json.loads((runs / "learning_rate=1e-5" / "status.json").read_text())
        assert status["status"] == "preempted"
    assert not (runs / "learning_rate=2e-5").exists()
    run_command("trainer.study", *arguments)
    whole = tmp_path / "whole"
    run_command("trainer.study", f"--plan={file}", f"--study_dir={whole}")
    for rate in ("1e-5", "2e-5"):
        assert_same_run(runs / f"learning_rate={rate}", whole / f"learning_rate={rate}")


PLAN = """model = lenet
recipe = seed
strategy = one_device
dataset = small_images
data_dir = DATA
epochs = 2
learning_rate = 1e-4, 1e30
"""


@pytest.fixture(scope="module")
def small_data(tmp_path_factory):
    directory = tmp_path_factory.mktemp("data")
    small_dataset.build(directory)
    return directory


@pytest.mark.slow
def test_a_study_trains_all_goes_on_and_says_what_failed(small_data, tmp_path):
    file, runs = tmp_path / "plan.txt", tmp_path / "runs"
    file.write_text(f"{PLAN.replace('DATA', str(small_data))}seeds = 0\n")
    arguments = (f"--plan={file}", f"--study_dir={runs}")
    said = run_command("trainer.study", *arguments, code=2)
    assert "1 of 2 runs failed" in said and "learning_rate=1e30,seed=0/log.txt" in said
    assert "learning_rate=1e30,seed=0: ended with code 3: error: training diverged: " in said
    names = [run["directory"] for run in json.loads((runs / "study.json").read_text())["runs"]]
    assert sorted(names) == sorted(path.name for path in runs.iterdir() if path.is_dir())
    done = runs / "learning_rate=1e-4,seed=0"
    assert json.loads((done / "status.json").read_text())["status"] == "done"
    trained = (done / "model.keras").stat().st_mtime_ns
    file.write_text(file.read_text().replace("seeds = 0", "seeds = 0, 1"))
    said = run_command("trainer.study", *arguments, code=2)
    assert "learning_rate=1e-4,seed=0: done before" in said and "2 of 4 runs failed" in said
    assert (done / "model.keras").stat().st_mtime_ns == trained
    config = json.loads((runs / "learning_rate=1e-4,seed=1" / "config.json").read_text())["config"]
    assert config["seed"] == 1
    file.write_text(file.read_text().replace("epochs = 2", "epochs = 3"))
    said = run_command("trainer.study", *arguments, code=2)
    assert "holds a study of another plan" in said and "epochs is 2 there, 3 in this one" in said


def test_what_is_wrong_with_a_plan_is_said_before_the_first_run(small_data, tmp_path):
    text = PLAN.replace("DATA", str(small_data))
    require_valid(parse(text + "seeds = 0, 1\nfolds = 3").runs, tmp_path)
    for line, said in {
        "dropout = 0.1, 1.5": "--dropout=1.5: expected 0 or more and below 1",
        "seeds = 0, 9999999999": "--seed=9999999999: expected",
        "folds = 500": "into 500 folds: choose from 2 to 132",
        "train_split = train, training": "has no split 'training'",
        "optimizer = adam, lion": "lion",
        "nonsense = 1, 2": "nonsense",
        "folds = 3\ntrain_split = train": "--fold=0/3 chooses the splits: leave --train_split out",
        "weight_decay = 0.1": "--weight_decay goes with",
        "strategy = multi_worker": "a study starts one process for each run",
    }.items():
        lines = text if line.partition(" ")[0] not in text else text.replace("strategy = one", "# ")
        with pytest.raises(UserError, match=re.escape(said)):
            require_valid(parse(f"{lines}{line}\n").runs, tmp_path)
    with pytest.raises(UserError, match="--model is missing"):
        require_valid(parse("recipe = seed").runs, tmp_path)


def test_a_run_of_other_settings_is_not_taken_for_done(finished_run, data_dir, tmp_path):
    shutil.copytree(finished_run, tmp_path / "run")
    text = (
        f"model = lenet\nrecipe = seed\ninput_pooling = 4\n"
        f"strategy = mirrored\nvirtual_devices = 2\ndata_dir = {data_dir}\nepochs = 2\n"
    )
    require_valid(parse(text).runs, tmp_path)
    for line, said in {
        "learning_rate = 0.01": "--learning_rate: 0.001 in the run, 0.01 now",
        "flip = false": "--flip: True in the run, False now",
        "optimizer = sgd": "--optimizer: 'adam' in the run, 'sgd' now",
    }.items():
        with pytest.raises(UserError, match=f"run holds a run of other settings .{said}"):
            require_valid(parse(f"{text}{line}\n").runs, tmp_path)
    (tmp_path / "run" / "config.json").write_text("{")
    with pytest.raises(UserError, match="config.json is damaged"):
        require_valid(parse(text).runs, tmp_path)


def test_progress_tells_runs_epochs_and_the_time_left(tmp_path, monkeypatch, capsys):
    now = [0.0]
    monkeypatch.setattr(time, "monotonic", lambda: now[0])
    progress = StudyProgress(5, 1, 1)
    progress.begin(tmp_path / "first", None)
    assert progress.told() == "1 of 5 runs done  first: starting"
    now[0] += 600
    progress.end(tmp_path / "first", 0, "done")
    shutil.copytree("tests/old_run", tmp_path / "second")
    progress.begin(tmp_path / "second", "3")
    now[0] += 120
    # 480 s of this one, 600 s of each of the two that wait.
    assert re.fullmatch(r"2 of 5 runs done  second: epoch \d+/\d+  28 min left", progress.told()), (
        progress.told()
    )
    assert "second: training on GPU 3" in capsys.readouterr().err
