"""What a release consists of beside its code: one version, locks within ranges, audit, workflow."""

import json
import pathlib
import re
import runpy
import subprocess
import sys

import pytest
import setuptools
import yaml
from packaging.requirements import Requirement
from packaging.specifiers import SpecifierSet
from packaging.utils import canonicalize_name

from tests.conftest import ROOT

CI = ROOT / ".ci"
RELEASED = re.compile(r"^## \[(\d+\.\d+\.\d+)\] - (\d{4}-\d{2}-\d{2})$", re.MULTILINE)


@pytest.fixture(scope="module")
def package():
    """What setup.py gives setuptools."""
    given = {}
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(setuptools, "setup", given.update)
        patch.chdir(ROOT)
        runpy.run_path(str(ROOT / "setup.py"))
    return given


@pytest.fixture(scope="module")
def workflow():
    return yaml.safe_load((ROOT / ".github" / "workflows" / "ci.yml").read_text())


def test_the_changelog_and_the_citation_name_the_version_of_setup_py(package):
    changelog = (ROOT / "CHANGELOG.md").read_text()
    version, date = RELEASED.findall(changelog)[0]
    citation = yaml.safe_load((ROOT / "CITATION.cff").read_text())
    assert version == citation["version"] == package["version"]
    assert date == str(citation["date-released"])
    assert changelog.index("## [Unreleased]") < changelog.index(f"## [{version}]")


def test_the_image_has_the_version_of_setup_py(package):
    files = [*(ROOT / "launch").rglob("*.*"), *(ROOT / "launch").rglob("Dockerfile")]
    files += (ROOT / "docs").glob("*.md")
    texts = [path.read_text() for path in files if path.suffix not in (".png", ".pyc")]
    tags = [tag for text in texts for tag in re.findall(r"cxr-trainer:([\d.]+)", text)]
    assert len(tags) >= 5
    assert set(tags) == {package["version"]}


def pins(*locks):
    """The version of each package, which no lock file has twice."""
    found = {}
    for lock in locks:
        lines = [line for line in (ROOT / lock).read_text().splitlines() if "==" in line]
        here = {canonicalize_name(line.split("==")[0]): line.split("==")[1] for line in lines}
        assert len(here) == len(lines), lock
        found |= here
    return found


@pytest.mark.parametrize(
    "extra, lock", [(None, None), ("dev", None), ("release", "release"), ("gpu", "gpu")]
)
def test_the_locks_hold_what_setup_py_asks_for(extra, lock, package):
    locks = ["requirements.lock"] + [f"requirements-{lock}.lock"] * bool(lock)
    pinned = pins(*locks)
    asked = package["extras_require"][extra] if extra else package["install_requires"]
    for requirement in map(Requirement, asked):
        version = pinned[canonicalize_name(requirement.name)]
        assert requirement.specifier.contains(version), f"{requirement}: {version}"


@pytest.mark.parametrize("beside", ["requirements-gpu.lock", "requirements-release.lock"])
def test_a_lock_beside_another_contradicts_it_nowhere(beside):
    main, others = pins("requirements.lock"), pins(beside)
    assert {name: main[name] for name in main.keys() & others.keys()}.items() <= others.items()


def test_a_lock_beside_another_has_only_what_that_lacks(tmp_path):
    names = [("rich", "15.0"), ("Jaraco.Classes", "3.4"), ("typing_extensions", "4.1")]
    report = {"install": [{"metadata": {"name": n, "version": v}} for n, v in names]}
    report["install"].append({"metadata": {"name": "cxr-trainer", "version": "0"}})
    (tmp_path / "report.json").write_text(json.dumps(report))
    (tmp_path / "some.lock").write_text("# Pins.\ntyping-extensions==4.1\n")
    command = [sys.executable, CI / "beside_lock.py", "report.json", "some.lock"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=True)  # noqa: S603
    assert done.stdout == "Jaraco.Classes==3.4\nrich==15.0\n"


FINE = {"name": "fine", "version": "1", "vulns": []}
FAULTY = {"name": "faulty", "version": "2", "vulns": [{"id": "CVE-1", "fix_versions": ["2.1"]}]}
UNKNOWN = {"name": "unknown", "skip_reason": "not found"}


@pytest.mark.parametrize(
    "found, code, told",
    [
        ([FINE], 0, "1 of 1 packages audited, 0 with"),
        ([FINE, FAULTY], 1, "faulty 2: CVE-1, fixed in 2.1\nsome.lock: 2 of 2 .* 1 with known"),
        ([FINE, UNKNOWN], 0, "1 of 2 packages audited.*\nNot audited, .*: unknown"),
        (None, 0, "some.lock was not audited, .* out of reach: Error: no route"),
    ],
    ids=["nothing", "a finding", "a version unknown", "out of reach"],
)
def test_an_audit_fails_for_findings_and_tells_what_it_did_not_audit(found, code, told, tmp_path):
    said = json.dumps({"dependencies": found}) if found else ""
    done = audit(tmp_path, f"print({said!r}); print('Error: no route', file=sys.stderr)", code)
    assert done.returncode == code, done.stderr
    assert re.search(told, done.stdout), done.stdout


def test_an_audit_of_an_unreadable_lock_fails(tmp_path):
    done = audit(tmp_path, "sys.exit('some.lock: line 2 is no pin')", 1, dry_run=True)
    assert done.returncode
    assert "line 2 is no pin" in done.stderr


def audit(folder: pathlib.Path, outcome: str, code: int, dry_run: bool = False):
    """Runs .ci/audit.py with a pip-audit of an outcome, of its dry run or its second run."""
    stub = folder / "pip-audit"
    stub.write_text(
        f"#!{sys.executable}\nimport sys\n"
        f"if ('--dry-run' in sys.argv) == {dry_run}:\n    {outcome}\n    sys.exit({code})\n"
    )
    stub.chmod(0o700)
    command = [sys.executable, CI / "audit.py", stub, "some.lock"]
    return subprocess.run(command, cwd=folder, capture_output=True, text=True)  # noqa: S603


def test_the_workflow_runs_the_tests_on_each_python_of_setup_py(workflow, package):
    allowed = SpecifierSet(package["python_requires"])
    versions = [f"3.{minor}" for minor in range(50) if allowed.contains(f"3.{minor}")]
    job = workflow["jobs"]["test"]
    assert job["strategy"]["matrix"]["python"] == versions
    assert job["steps"][-1]["run"] == ".ci/run"
    told = [line for line in package["classifiers"] if ":: Python :: 3." in line]
    assert told == [f"Programming Language :: Python :: {version}" for version in versions]


def test_the_workflow_may_only_read_and_takes_actions_by_their_commit(workflow):
    assert workflow["permissions"] == {"contents": "read"}
    for job in workflow["jobs"].values():
        assert "permissions" not in job
        for step in job["steps"]:
            assert "uses" in step or "docker push" not in step["run"]
            if "uses" in step:
                assert re.fullmatch(r"actions/[\w-]+@[0-9a-f]{40}", step["uses"])
            if step.get("uses", "").startswith("actions/checkout@"):
                assert step["with"]["persist-credentials"] is False


def test_an_audit_needs_the_environment_of_its_tools_alone():
    said = subprocess.run(
        ["make", "--dry-run", "audit", "VENV=absent"],  # noqa: S607 - as the user has it
        cwd=ROOT, capture_output=True, text=True, check=True,
    ).stdout  # fmt: skip
    assert ".ci/audit.py" in said and "absent" not in said
