import json
import shutil
import subprocess

import pytest

from benchmarks import gpu_report
from benchmarks.clock import Clock
from benchmarks.gpu_report import Check
from cxr_command.exit_codes import ExitCode
from tests.conftest import ROOT, run_command
from trainer.errors import UserError

NODE = {
    "batch_size": 128,
    "ceilings": {
        "1": {
            "hardware": {"precision": "mixed_bfloat16"}, "matrix_product_flops": 6.68e14,
            "memory_bytes_per_second": 3.92e12,
        }
    },
    "rows": [
        {
            "model": "vgg19", "mode": "full", "xla": True, "devices": 1,
            "images_per_second": 3415.4, "of_matrix_product": 0.6, "shares": {"input": 0.015},
        }
    ],
    "missing": {"densenet169 full on 1": "not measured"},
}  # fmt: skip


def says(name, *statements, seconds=60, **settings):
    """A check that runs statements of Python."""
    words = [word for statement in statements for word in ("-s", statement)]
    return Check(name, ("timeit", "-n1", "-r1", *words, "pass"), seconds, **settings)


def summary(folder):
    return json.loads((folder / "summary.json").read_text())


def test_the_summary_holds_what_each_check_said_and_nodes_rates(tmp_path, capsys):
    node = says("node", "print('the last row')", f"print({json.dumps(NODE)!r})")
    gpu_report.report(
        iter([says("doctor", "print('Training on GPUs is possible.')"), node]), tmp_path
    )
    found = summary(tmp_path)
    assert [check["name"] for check in found["checks"]] == ["doctor", "node"]
    assert {check["exit_code"] for check in found["checks"]} == {0}
    assert "Training on GPUs is possible." in (tmp_path / "doctor.txt").read_text()
    told = (tmp_path / "summary.md").read_text()
    assert told.startswith(f"# GPU report: {', '.join(found['gpus']) or 'no GPU'}, {found['date']}")
    shown = capsys.readouterr().out.splitlines()
    assert "Training on GPUs is possible." in shown and "the last row" in shown
    assert not any(line.startswith("{") for line in shown)


def test_rates_and_what_was_not_measured_are_rows_of_the_summary(tmp_path):
    (tmp_path / "node.txt").write_text("a row\n" + json.dumps(NODE) + "\n")
    assert gpu_report.summarise(tmp_path, [])["node"] == NODE
    lines = (tmp_path / "summary.md").read_text().splitlines()
    assert "| vgg19, full | on | 1 | 3,415 | 60.0% | 1.5% |" in lines
    assert "| densenet169 full on 1 | | | not measured | | |" in lines
    assert any("668.0 TFLOP/s in mixed_bfloat16, memory 3.92 TB/s" in line for line in lines)


def test_a_check_that_is_over_its_time_is_interrupted_and_the_others_run(tmp_path):
    slow = says("tests", "print('begun')", "import time; time.sleep(600)", seconds=3)
    with pytest.raises(SystemExit) as ended:
        gpu_report.report(iter([slow, says("node", "print('measured')")]), tmp_path)
    assert ended.value.code == ExitCode.FOUND
    first, second = summary(tmp_path)["checks"]
    assert first["exit_code"] != 0 and first["says"] == "begun"
    assert second["exit_code"] == 0


def test_ctrl_c_ends_the_check_and_leaves_a_summary(tmp_path):
    # By the check itself, once what it said is read: however long it took to start.
    press = "time.sleep(1); os.kill(os.getppid(), signal.SIGINT); time.sleep(600)"
    slow = says("tests", "print('begun')", f"import os, signal, time; {press}", seconds=600)
    with pytest.raises(KeyboardInterrupt):
        gpu_report.report(iter([slow, says("node", "print('measured')")]), tmp_path)
    (check,) = summary(tmp_path)["checks"]
    assert check["exit_code"] != 0 and check["says"] == "begun"


def test_where_the_doctor_finds_a_fault_nothing_else_runs(tmp_path):
    sick = says("doctor", "print('no driver')", "raise OSError", is_needed=True)
    with pytest.raises(UserError, match="doctor.txt says why no training on a GPU can run here"):
        gpu_report.report(iter([sick, says("node", "print('measured')")]), tmp_path)
    (check,) = summary(tmp_path)["checks"]
    assert (check["exit_code"], check["says"]) == (1, "no driver")


def test_the_checks_share_the_minutes():
    doctor, tests, node = gpu_report.checks(Clock(10))
    assert doctor.is_needed and doctor.seconds + tests.seconds < 600
    assert tests.command[:3] == ("pytest", "-m", "gpu and not slow")
    (minutes,) = [word for word in node.command if word.startswith("--minutes=")]
    assert 9.9 < float(minutes.partition("=")[2]) <= 10


def test_without_a_gpu_it_ends_after_the_doctor_with_a_sentence(tmp_path):
    folder = tmp_path / "report"
    said = run_command("benchmarks.gpu_report", f"--output_dir={folder}", code=2)
    assert "says why no training on a GPU can run here" in said.splitlines()[-1]
    assert [check["name"] for check in summary(folder)["checks"]] == ["doctor"]
    said = run_command("benchmarks.gpu_report", f"--output_dir={folder}", code=2)
    assert "is there already; move it" in said


@pytest.mark.skipif(not shutil.which("make"), reason="there is no make")
@pytest.mark.parametrize("nvidia_smi", [None, "exit 9"])
def test_make_gpu_installs_nothing_where_there_is_no_gpu(nvidia_smi, tmp_path):
    if nvidia_smi:
        (tmp_path / "nvidia-smi").write_text(f"#!/bin/sh\n{nvidia_smi}\n")
        (tmp_path / "nvidia-smi").chmod(0o755)
    done = subprocess.run(  # noqa: S603
        [shutil.which("make"), "gpu", f"VENV={tmp_path}/venv"],
        cwd=ROOT, env={"PATH": str(tmp_path)}, capture_output=True, text=True,
    )  # fmt: skip
    assert done.returncode == 2
    assert done.stderr.startswith("make gpu: nvidia-smi finds no GPU on this machine; install")
    assert not (tmp_path / "venv").exists()
