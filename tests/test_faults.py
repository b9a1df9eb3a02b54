"""Every fault of faults.py, in a folder of its own: how its command ends, what then lies there.

    python -m pytest -s tests/test_faults.py                  # the quick ones
    python -m pytest -s -m slow tests/test_faults.py          # the others

prints the table: what was done, the command, its exit code, what it said, what lies on disk after.
Of each is asked: the exit code, one sentence that fits, no stack trace; that nothing which was
there is gone, under another name at most; and that nothing half-written is left.
"""

import hashlib
import os
import pathlib
import re
import shutil
import signal
import subprocess
import sys
import time

import numpy as np
import pytest
from PIL import Image

from cxr_tfds import phantom
from tests.conftest import ROOT
from tests.support import faults, other_dataset, small_dataset
from tests.support.faults import CACHES, FAULTS, Fault
from tests.support.forked_commands import Ended, Forks, split
from tests.support.split_tables import write_split_tables

_HALF_WRITTEN = re.compile(r"partial|incomplete|\.extracting|\.tmp|~$")
_SENTENCE = re.compile(r"^(?:error|stopped|cxr_tfds\.[a-z_]+): (.+)$", re.MULTILINE)
_MOST_SECONDS = 300


@pytest.fixture(scope="module")
def scene(forks, tmp_path_factory) -> pathlib.Path:
    """What is there before each fault: data, a run on them, images, a database, a plan."""
    scene = tmp_path_factory.mktemp("scene")
    small_dataset.build(scene / "data")
    other_dataset.OtherImages(data_dir=scene / "other").download_and_prepare()
    ended = forks.run(*split(faults.AGAIN), scene)
    assert ended.code == 0, ended.said
    rng = np.random.default_rng(0)
    for name in ("a", "b", "c", "d"):
        (scene / "images" / name).mkdir(parents=True)
        for number in range(2):
            image = Image.fromarray(rng.integers(0, 256, (40, 40), np.uint8))
            image.save(scene / "images" / name / f"{number}.png")
    phantom.write_database(scene / "manual", 3)
    write_split_tables(scene)
    (scene / "plan.txt").write_text(faults.PLAN)
    return scene


@pytest.fixture(scope="module")
def scene_with_caches(forks, scene, tmp_path_factory) -> pathlib.Path:
    """The same, with what a frozen backbone and the decoding of images keep."""
    folder = tmp_path_factory.mktemp("caches") / "scene"
    shutil.copytree(scene, folder)
    for command in (faults.FROZEN, faults.ENCODED_AGAIN):
        ended = forks.run(*split(command), folder, faults.CACHE)
        assert ended.code == 0, ended.said
    for made in ("frozen", "new"):
        shutil.rmtree(folder / made)
    return folder


@pytest.fixture
def folder(request, fault, tmp_path):
    """A copy of the scene, which is removed with what was mounted in it."""
    scene = request.getfixturevalue("scene_with_caches" if fault in CACHES else "scene")
    folder = tmp_path / "folder"
    shutil.copytree(scene, folder, symlinks=True)
    yield folder
    if os.path.ismount(folder / "disk"):
        subprocess.run(["umount", str(folder / "disk")], check=True)  # noqa: S603, S607
    shutil.rmtree(folder)


@pytest.fixture(scope="module")
def table():
    rows = []
    yield rows.append
    print(f"\n\n{len(rows)} faults")
    for number, row in enumerate(sorted(rows), start=1):
        print(f"\n{number}. {row[0]}")
        for name, cell in zip(("command", "ends with", "says", "after"), row[1:], strict=True):
            print(f"   {name:9}  {ascii(cell)[1:-1]}")


def contents(folder: pathlib.Path) -> dict[str, str]:
    """The digest of every file by its path; of a link what it leads to."""
    found = {}
    for path in sorted(folder.rglob("*")):
        if path.is_symlink():
            found[str(path.relative_to(folder))] = f"link to {os.readlink(path)}"
        elif path.is_file():
            digest = hashlib.sha256(path.read_bytes()).hexdigest()
            found[str(path.relative_to(folder))] = digest
    return found


def lost(fault: Fault, made: set[str], before: dict[str, str], after: dict[str, str]) -> list[str]:
    """Files whose content is nowhere any more, though the command may not write them anew."""
    there = set(after.values())
    return [
        path
        for path, content in before.items()
        if content not in there and (content in made or not re.search(fault.writes, path))
    ]


def changes(before: dict[str, str], after: dict[str, str]) -> str:
    """What is new, gone or other, in a line."""
    moved = {content: path for path, content in before.items() if path not in after}
    words = []
    for path in sorted(after.keys() - before.keys()):
        old = moved.get(after[path])
        words.append(f"{old} -> {path}" if old else f"+ {path}")
    words += [f"~ {path}" for path in before if path in after and after[path] != before[path]]
    shown = words[:6] + ([f"and {len(words) - 6} more"] if len(words) > 6 else [])
    return ", ".join(shown) or "all as it was"


def start(command: str, folder: pathlib.Path, environment: dict[str, str], **streams):
    module, arguments = split(command)
    return subprocess.Popen(  # noqa: S603
        [sys.executable, "-m", module, *arguments],
        cwd=folder, env=os.environ | environment, stdin=subprocess.DEVNULL, **streams,
    )  # fmt: skip


def wait_for(path: pathlib.Path, process: subprocess.Popen) -> None:
    until = time.monotonic() + _MOST_SECONDS
    while not path.exists():
        assert process.poll() is None, f"it ended early, with {process.returncode}"
        assert time.monotonic() < until, f"{path} did not appear"
        time.sleep(0.02)


def run_process(
    fault: Fault, command: str, folder: pathlib.Path, environment: dict[str, str]
) -> Ended:
    """Runs the command in a process of its own, and does to it what the fault says."""
    began = time.monotonic()
    closing = {"preexec_fn": lambda: os.close(2)} if fault.closed else {"stderr": subprocess.PIPE}
    process = start(command, folder, environment, **closing)
    try:
        if fault.sends:
            wait_for(folder / fault.sends[1], process)
            process.send_signal(fault.sends[0])
        if fault.reads is not None:
            said = b"".join(process.stderr.readline() for _ in range(fault.reads))
            process.stderr.close()
            process.wait(_MOST_SECONDS)
        else:
            said = process.communicate(timeout=_MOST_SECONDS)[1] or b""
    finally:
        process.kill()
        process.wait()
    seconds = time.monotonic() - began
    return Ended(process.returncode, seconds, 0.0, "", said.decode(errors="replace"))


def filled_in(text: str, places: dict[str, str]) -> str:
    for name, value in places.items():
        text = text.replace(name, value)
    return text


def run(fault: Fault, folder: pathlib.Path, forks: Forks, port: str) -> Ended:
    """Runs the command of a fault, in a fork where that will do."""
    places = {"{root}": str(ROOT), "{port}": port, "{python}": sys.executable}
    command = filled_in(fault.command, places)
    own = {name: filled_in(value, places) for name, value in fault.environment.items()}
    beside = None
    if fault.beside:
        words = filled_in(fault.beside.command, places)
        beside = start(words, folder, forks.environment | own, stderr=subprocess.DEVNULL)
    try:
        if beside:
            wait_for(folder / fault.beside.shows, beside)
        if fault.needs_process:
            return run_process(fault, command, folder, forks.environment | own)
        return forks.run(*split(command), folder, own)
    finally:
        if beside:
            if fault.beside.is_ended:
                beside.send_signal(signal.SIGTERM)
            beside.wait(_MOST_SECONDS)


def parameter(fault: Fault):
    marks = [pytest.mark.slow] if fault.slow else []
    return pytest.param(fault, id=re.sub(r"\W+", "-", fault.what), marks=marks)


@pytest.mark.parametrize("fault", [parameter(fault) for fault in FAULTS])
def test_a_fault_ends_in_words_and_loses_nothing(fault, folder, forks, used_port, table):
    untouched = set(contents(folder).values())
    fault.do(folder)
    before = contents(folder)
    ended = run(fault, folder, forks, used_port)
    after = contents(folder)
    sentences = _SENTENCE.findall(ended.said)
    lines = ended.said.strip().splitlines() or [""]
    said = sentences[-1] if sentences else lines[-1]
    table((fault.what, f"python -m {fault.command}", str(ended.code), said, changes(before, after)))

    assert "Traceback" not in ended.said, ended.said
    codes = fault.code if isinstance(fault.code, tuple) else (fault.code,)
    assert ended.code in codes, ended.said
    failed = ended.code > 0 and not fault.closed and not fault.command.startswith(faults.LAUNCH)
    if failed:
        assert len(sentences) == 1, ended.said
    pattern = fault.says.replace("{port}", used_port)
    assert re.search(pattern, "\n".join(sentences) if failed else ended.said), ended.said
    assert lost(fault, set(before.values()) - untouched, before, after) == []
    new = after.keys() - before.keys()
    if ended.code != -signal.SIGKILL:
        assert [path for path in new if _HALF_WRITTEN.search(path)] == []
    fault.after(folder)


def test_there_are_enough_and_no_two_are_called_the_same():
    names = [fault.what for fault in FAULTS]
    assert len(names) == len(set(names)) >= 90


@pytest.mark.parametrize(
    ("after", "expected"),
    [
        ({"a": "1", "b": "2"}, []),
        ({"damaged-a": "1", "b": "2"}, []),
        ({"b": "2"}, ["a"]),
        ({"a": "3", "b": "2"}, ["a"]),
        ({"a": "1", "b": "3"}, []),
        ({"a": "1"}, []),
    ],
)
def test_what_is_gone_is_found(after, expected):
    fault = Fault("", "", 0, "", writes="^b$")
    assert lost(fault, set(), {"a": "1", "b": "2"}, after) == expected
    assert "b" in lost(fault, {"2"}, {"a": "1", "b": "2"}, {"a": "1"})


@pytest.mark.parametrize(
    "name", ["a.partial", ".partial-x/a", "incomplete.ABC_1.0.0/a", ".extracting-1/a"]
)
def test_what_is_half_written_is_found(name):
    assert _HALF_WRITTEN.search(name)
    assert not _HALF_WRITTEN.search("run/damaged-epoch-00001/state.npz")
