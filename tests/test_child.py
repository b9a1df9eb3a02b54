"""A process that a launcher starts."""

import subprocess
import sys

import psutil
import pytest

from tests.conftest import ROOT
from tests.support.processes import is_alive, wait_until
from trainer.errors import UserError
from trainer.processes import child


def test_it_has_the_variables_given_and_a_session_of_its_own():
    script = "import os; print(os.environ['OF_IT'], os.getsid(0) == os.getpid())"
    process = child.start(
        [sys.executable, "-c", script], {"OF_IT": "its own"}, stdout=subprocess.PIPE, text=True
    )
    assert process.communicate()[0] == "its own True\n"


def test_what_is_no_command_is_said():
    with pytest.raises(UserError, match="no-such-command could not be started: No such file"):
        child.start(["no-such-command"], {})


@pytest.mark.parametrize("is_checkout", [True, False])
def test_it_runs_this_projects_module_and_no_file_of_the_users(is_checkout, tmp_path, monkeypatch):
    for name in ("trainer/__init__.py", "cxr_command.py", "json.py"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text("raise SystemExit('a file of the user')")
    monkeypatch.chdir(ROOT if is_checkout else tmp_path)
    monkeypatch.setenv("PYTHONPATH", "" if is_checkout else str(ROOT))
    process = child.start(
        [*child.python_module("trainer.runs"), f"--runs_dir={tmp_path / 'none'}"], {},
        stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    assert "expected a directory with runs" in process.communicate()[1]


@pytest.mark.skipif(sys.platform != "linux", reason="other systems have no such signal")
def test_it_ends_when_the_process_that_started_it_is_killed():
    script = (
        "import subprocess, sys, time; from trainer.processes import child;"
        "process = child.start([sys.executable, '-c', 'import time; time.sleep(100)'], {});"
        "print(process.pid, flush=True); time.sleep(100)"
    )
    parent = subprocess.Popen(  # noqa: S603
        [sys.executable, "-c", script], cwd=ROOT, stdout=subprocess.PIPE, text=True
    )
    process = psutil.Process(int(parent.stdout.readline()))
    parent.kill()
    parent.communicate()
    wait_until(lambda: not is_alive(process), seconds=30)
