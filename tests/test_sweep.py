import json
import os
import signal
import subprocess
import sys

import psutil
import pytest

from launch import sweep
from launch.trials import Trial
from tests.conftest import ROOT, run_command
from tests.support.processes import is_alive, wait_until
from tests.support.trainings import assert_same_run
from trainer.errors import Preempted, UserError

TEXT = """
# A comment.
model = lenet
learning_rate = 1e-3, 2e-3  # Another.
dropout = 0.2,0.4
"""


def test_every_combination_of_the_values_is_a_run_named_after_them():
    runs = sweep.combinations(sweep.parse(TEXT))
    assert runs == {
        f"learning_rate={rate},dropout={share}": {
            "model": "lenet", "learning_rate": rate, "dropout": share,
        }
        for rate in ("1e-3", "2e-3") for share in ("0.2", "0.4")
    }  # fmt: skip


@pytest.mark.parametrize(
    "values",
    [
        ["a/b", "a/c", "a_b"],
        ["x" * 300, "x" * 299 + "y"],
        ["\u00e4" * 150, "\u00e4" * 149 + "o"],
        ["[1]", "*", "?", "..", "\u00e4 b"],
    ],
)
def test_each_combination_has_a_directory_of_its_own_that_can_be_made(values, tmp_path):
    runs = sweep.combinations(sweep.parse(f"dataset = {', '.join(values)}"))
    assert [run["dataset"] for run in runs.values()] == values
    for name in runs:
        (tmp_path / name).mkdir()
    assert len(list(tmp_path.iterdir())) == len(values)


def test_a_name_that_is_cut_stays_the_same_and_depends_on_all_values():
    text = "dropout=" + "0" * 300
    assert sweep._directory_name(text) == sweep._directory_name(text)
    names = {sweep._directory_name(text + end) for end in ("1", "2", "")}
    assert len(names) == 3 and all(len(name) == 255 for name in names)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("model lenet", "line 1.*'model lenet'.*expected flag = value"),
        ("\nmodel =", "line 2"),
        ("workdir = x", "line 1.*workdir"),
        ("seed = 1\nseed = 2", "line 2.*seed"),
        ("seed = 1, 2, 1", "line 1.*twice"),
        ("model = le\0net", "line 1"),
        ("# nothing", "empty"),
    ],
)
def test_a_line_that_makes_no_sense_is_named(text, said):
    with pytest.raises(UserError, match=said):
        sweep.parse(text)


def test_a_second_sweep_in_the_directory_is_refused_and_names_the_first(tmp_path):
    with sweep._alone_in(tmp_path):
        with pytest.raises(UserError, match=f"in use by process {os.getpid()} on "):
            with sweep._alone_in(tmp_path):
                pass
        with sweep._alone_in(tmp_path / "elsewhere"):
            pass
    with sweep._alone_in(tmp_path):
        pass


@pytest.mark.parametrize(
    ("codes", "is_asked", "ends", "said"),
    [
        ({"a": 0, "b": 0}, False, None, ""),
        ({"a": 0, "b": 0}, True, None, ""),
        ({"a": 0, "b": 2}, False, UserError, "1 of 3 runs failed: .*b/log.txt"),
        ({"a": 75, "b": 2}, False, UserError, "1 of 3 runs failed: .*b/log.txt"),
        ({"a": 75, "b": 0}, False, Preempted, "2 of 3 runs are done; the same command goes on"),
        ({"a": 0, "b": 143}, True, Preempted, "2 of 3 runs are done"),
        ({"a": 75}, True, Preempted, "1 of 3 runs are done"),
    ],
)
def test_it_ends_as_its_trainings_did(codes, is_asked, ends, said, tmp_path):
    trials = [Trial(tmp_path / name, {}) for name in ("done before", "a", "b")]
    if ends is None:
        sweep._raise_if_unfinished(trials, trials[1:], codes, is_asked)
        return
    with pytest.raises(ends, match=said):
        sweep._raise_if_unfinished(trials, trials[1:], codes, is_asked)


def start_sweep(arguments):
    command = [sys.executable, "-m", "launch.sweep", *arguments]
    return subprocess.Popen(command, cwd=ROOT, stderr=subprocess.PIPE, text=True)  # noqa: S603


def trainer_of(process, run):
    """The training of a sweep, once it has finished an epoch."""
    wait_until((run / "metrics.jsonl").exists)
    (trainer,) = psutil.Process(process.pid).children()
    return trainer


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP, signal.SIGINT, signal.SIGKILL])
def test_a_sweep_that_is_ended_leaves_no_trainer_and_goes_on(number, data_dir, tmp_path):
    file, runs = tmp_path / "sweep.txt", tmp_path / "sweep [1] *"
    file.write_text(
        f"model = lenet\ndata_dir = {data_dir}\nepochs = 3\nrecipe = seed\ndeterministic = true\n"
        "learning_rate = 1e-5, 2e-5\n"
    )
    arguments = (f"--file={file}", f"--runs_dir={runs}")
    process = start_sweep(arguments)
    trainer = trainer_of(process, runs / "learning_rate=1e-5")
    process.send_signal(number)
    _, said = process.communicate(timeout=120)
    wait_until(lambda: not is_alive(trainer))
    if number != signal.SIGKILL:
        assert process.returncode == 75, said
        assert "stopped: 0 of 2 runs are done; the same command goes on" in said
        status = json.loads((runs / "learning_rate=1e-5" / "status.json").read_text())
        assert status["status"] == "preempted"
    assert not (runs / "learning_rate=2e-5").exists()
    run_command("launch.sweep", *arguments)
    whole = tmp_path / "whole"
    run_command("launch.sweep", f"--file={file}", f"--runs_dir={whole}")
    for rate in ("1e-5", "2e-5"):
        assert_same_run(runs / f"learning_rate={rate}", whole / f"learning_rate={rate}")


@pytest.mark.slow
def test_a_sweep_trains_all_goes_on_and_says_what_failed(data_dir, tmp_path):
    file, runs = tmp_path / "sweep.txt", tmp_path / "runs"
    file.write_text(f"model = lenet\ndata_dir = {data_dir}\nepochs = 2\nlearning_rate = 1e-3, -1\n")
    arguments = (f"--file={file}", f"--runs_dir={runs}")
    said = run_command("launch.sweep", *arguments, code=2)
    assert "1 of 2 runs failed" in said and "learning_rate=-1/log.txt" in said
    assert "--learning_rate=-1.0" in (runs / "learning_rate=-1" / "log.txt").read_text()
    status = json.loads((runs / "learning_rate=1e-3" / "status.json").read_text())
    assert status["status"] == "done"
    file.write_text(file.read_text().replace(", -1", ", 2e-3"))
    assert "learning_rate=1e-3: done before" in run_command("launch.sweep", *arguments)
