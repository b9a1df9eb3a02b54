"""Documents and files for schedulers tell the exit codes that the commands end with."""

import re

import pytest

from cxr_command.exit_codes import FINAL, ExitCode
from launch import local
from tests.conftest import ROOT
from tests.support.manifests import MANIFESTS, workload

SBATCH = ROOT / "launch" / "slurm" / "train.sbatch"
TOLD = [
    *ROOT.glob("*.md"),
    *(ROOT / "docs").rglob("*.md"),
    *(ROOT / "launch").rglob("*.py"),
    *MANIFESTS.values(),
    SBATCH,
]


def in_one_line(file):
    return re.sub(r"[\s#]+", " ", file.read_text())


def test_the_table_of_the_documentation_has_every_code():
    text = (ROOT / "docs" / "reference" / "exit_codes.md").read_text()
    table = text.partition("| exit code | meaning |\n|---|---|\n")[2].partition("\n\n")[0]
    rows = [re.fullmatch(r"\| (\d+) \| .+ \|", line)[1] for line in table.splitlines()]
    assert list(map(int, rows)) == list(ExitCode)


def test_a_code_is_an_integer_with_a_meaning():
    assert ExitCode(75) is ExitCode.PREEMPTED
    assert (ExitCode.WORKER_LOST, ExitCode.INTERRUPTED) == (76, 130)
    assert "another worker" in ExitCode.WORKER_LOST.meaning


@pytest.mark.parametrize("file", TOLD, ids=lambda file: file.name)
def test_every_code_that_is_told_is_one(file):
    for told in re.findall(r"exit codes? (\d+(?:,? and \d+)?)", in_one_line(file)):
        assert {int(code) for code in re.findall(r"\d+", told)} <= set(ExitCode)


def test_the_slurm_script_ends_by_what_a_restart_would_repeat():
    (codes,) = re.findall(r"^(\d+(?: \| \d+)*)\) exit", SBATCH.read_text(), re.MULTILINE)
    assert [int(code) for code in codes.split(" | ")] == list(FINAL)


@pytest.mark.parametrize("name", ["single-node", "multi-node", "trainjob"])
def test_a_job_of_kubernetes_fails_by_what_a_restart_would_repeat(name):
    rules = workload(MANIFESTS[name])["spec"]["podFailurePolicy"]["rules"]
    values = {rule["action"]: rule["onExitCodes"] for rule in rules if "onExitCodes" in rule}
    assert values["FailJob"]["values"] == [code for code in FINAL if code != ExitCode.DONE]
    assert values["Ignore"]["values"] == [ExitCode.PREEMPTED]


@pytest.mark.parametrize("file", [SBATCH, MANIFESTS["multi-node"]])
def test_the_comments_name_what_ends_a_job(file):
    said = in_one_line(file)
    assert f"A mistake ({ExitCode.MISTAKE}) or a diverged loss ({ExitCode.DIVERGED}) ends " in said
    assert f"end with exit code {ExitCode.PREEMPTED}" in said


def test_the_documentation_names_what_ends_a_job():
    said = in_one_line(ROOT / "docs" / "tutorials" / "cluster.md")
    assert f"exit codes {ExitCode.MISTAKE} and {ExitCode.DIVERGED} end the job on both" in said
    assert f"with exit code {ExitCode.WORKER_LOST} and its name" in said


def test_the_launcher_restarts_no_more_than_the_schedulers():
    assert set(FINAL) <= set(local._FINAL)
    assert ExitCode.WORKER_LOST not in local._FINAL
