import datetime
import json
import os
import socket
import subprocess
import sys

import pytest

from tests.conftest import ROOT, run_command
from trainer import run_list
from trainer.errors import UserError
from trainer.lock import locked
from trainer.run import Run

DATASET = {"class_names": ["a", "b"], "image_shape": [8, 8, 1], "train_examples": 4,
           "validation_examples": 2}  # fmt: skip


def make_run(directory, state, seconds_ago, epochs=2, **status):
    directory.mkdir(parents=True)
    config = {"model": "vgg19", "dataset": "d", "data_dir": "x", "recipe": "seed", "epochs": 20}
    content = {"config": config, "dataset": DATASET, "parameters": {"total": 9, "trainable": 9}}
    (directory / "config.json").write_text(json.dumps(content))
    rows = [
        {"epoch": epoch, "loss": 0.5, "images_per_second": 100.4 * epoch}
        for epoch in range(1, epochs + 1)
    ]
    (directory / "metrics.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    then = datetime.datetime.now(datetime.UTC) - datetime.timedelta(seconds=seconds_ago)
    content = {
        "status": state, "best_epoch": 1, "best_validation_loss": 0.25, "error": None,
        "host": socket.gethostname(), "process_id": os.getpid(),
        "last_sign_of_life": then.isoformat(),
    }  # fmt: skip
    (directory / "status.json").write_text(json.dumps(content | status))
    return directory


def listed(directory, capsys):
    """The lines of the table below its header, each split into words, and what is said beside."""
    run_list.show(directory)
    said = capsys.readouterr()
    header, *lines = said.out.splitlines()
    assert header.split() == [
        "name", "model", "recipe", "state", "epoch", "best", "loss", "images/s", "age",
    ]  # fmt: skip
    return [line.split() for line in lines], said.err


def test_the_newest_stands_first_with_what_it_has_reached(tmp_path, capsys):
    make_run(tmp_path / "old", "done", 3 * 86400 + 60)
    make_run(tmp_path / "new", "preempted", 4 * 3600 + 60, best_epoch=None,
             best_validation_loss=None, epochs=0)  # fmt: skip
    make_run(tmp_path / "newest", "failed", 180)
    lines, _ = listed(tmp_path, capsys)
    assert lines == [
        ["newest", "vgg19", "seed", "failed", "2", "of", "20", "0.2500", "201", "3", "min"],
        ["new", "vgg19", "seed", "preempted", "0", "of", "20", "-", "-", "4", "h"],
        ["old", "vgg19", "seed", "done", "2", "of", "20", "0.2500", "201", "3", "d"],
    ]


def test_a_living_run_and_a_dead_one_are_told_apart(tmp_path, capsys):
    make_run(tmp_path / "living", "running", 10)
    make_run(tmp_path / "dead", "running", 20)
    with locked(tmp_path / "living", "wait"):
        lines, _ = listed(tmp_path, capsys)
    assert [(line[0], line[3]) for line in lines] == [("living", "running"), ("dead", "stale")]


@pytest.mark.parametrize("file", ["config.json", "status.json", "metrics.jsonl"])
@pytest.mark.parametrize("content", ["{", '{"status": "asleep"}', "[1]", "\0"])
def test_a_damaged_run_is_a_line_that_says_so(tmp_path, capsys, file, content):
    make_run(tmp_path / "whole", "done", 10)
    damaged = make_run(tmp_path / "broken", "done", 86400)
    (damaged / file).write_text(content)
    lines, _ = listed(tmp_path, capsys)
    (line,) = [line for line in lines if line[0] == "broken"]
    assert line[3] == "damaged"
    assert f"{damaged / file} is damaged" in " ".join(line)
    assert ["whole", "done"] in [[line[0], line[3]] for line in lines]
    assert (damaged / file).read_text() == content


def test_what_is_no_run_is_counted_and_not_listed(tmp_path, capsys):
    make_run(tmp_path / "run", "done", 10)
    (tmp_path / "notes").mkdir()
    (tmp_path / "file").touch()
    lines, said = listed(tmp_path, capsys)
    assert [line[0] for line in lines] == ["run"]
    assert said == "1 of 2 folders are no runs\n"


def test_a_run_of_an_earlier_version_is_listed(tmp_path, capsys):
    run = make_run(tmp_path / "run", "done", 10)
    old = {"status": "done", "best_epoch": 1, "best_validation_loss": 0.5}
    (run / "status.json").write_text(json.dumps(old))
    lines, _ = listed(tmp_path, capsys)
    assert lines[0][:8] == ["run", "vgg19", "seed", "done", "2", "of", "20", "0.5000"]
    (run / "status.json").unlink()  # It was killed before it wrote one.
    lines, _ = listed(tmp_path, capsys)
    assert lines[0][3] == "stale"


def test_a_name_cannot_steer_the_terminal(tmp_path):
    row = run_list.row_of(Run(make_run(tmp_path / "a\x1b[2J\nb", "done", 10)))
    assert len(run_list.table([row]).splitlines()) == 2
    assert r"a\x1b[2J\nb" in run_list.table([row])


@pytest.mark.parametrize(
    "make, said",
    [
        (lambda path: None, "cannot be listed .No such file"),
        (lambda path: path.touch(), "cannot be listed .Not a directory"),
        (lambda path: path.mkdir(), "holds no run .0 of 0 folders"),
        (lambda path: (path / "notes").mkdir(parents=True), "holds no run .1 of 1 folders"),
    ],
)
def test_nothing_to_list_is_the_users_mistake(tmp_path, capsys, make, said):
    make(tmp_path / "runs")
    with pytest.raises(UserError, match=said):
        listed(tmp_path / "runs", capsys)


def test_the_command_prints_a_table(tmp_path):
    make_run(tmp_path / "run", "done", 10)
    (tmp_path / "notes").mkdir()
    said = run_command("trainer.runs", f"--runs_dir={tmp_path}")
    assert said.endswith("1 of 2 folders are no runs\n")


def test_the_command_starts_without_tensorflow():
    libraries = {"tensorflow", "keras", "numpy"}
    program = f"import sys, trainer.runs; sys.exit(bool({libraries} & sys.modules.keys()))"
    assert subprocess.run([sys.executable, "-c", program], cwd=ROOT).returncode == 0  # noqa: S603
