"""launch.local with commands of a second each; what trainer.main does under it is a drill."""

import json
import signal
import subprocess
import sys
import types

import psutil
import pytest
from absl import flags
from absl.testing import flagsaver

from launch import local
from tests.conftest import ROOT
from tests.support.processes import is_alive, wait_until

# What every worker of these tests knows of itself.
START = (
    "import json, os, pathlib, signal, sys, time;"
    "config = json.loads(os.environ['TF_CONFIG']);"
    "index = config['task']['index'];"
)


def start(flags, script):
    return subprocess.Popen(  # noqa: S603
        [sys.executable, "-m", "launch.local", *flags, "--", sys.executable, "-uc", START + script],
        cwd=ROOT, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip


def run(flags, script):
    """Exit code and lines of a launch that ends by itself."""
    process = start(flags, script)
    _, said = process.communicate(timeout=120)
    return process.returncode, said.splitlines()


def of_worker(lines, index):
    prefix = f"[worker {index}] "
    return [line.removeprefix(prefix) for line in lines if line.startswith(prefix)]


def test_each_worker_has_its_place_its_port_and_its_prefix():
    code, lines = run(["--num_workers=3"], "print(os.environ['TF_CONFIG'])")
    assert code == 0
    configs = [json.loads(config) for index in range(3) for config in of_worker(lines, index)]
    assert [config["task"] for config in configs] == [
        {"type": "worker", "index": index} for index in range(3)
    ]
    assert configs[0]["cluster"] == configs[1]["cluster"] == configs[2]["cluster"]
    assert len(set(configs[0]["cluster"]["worker"])) == 3


def test_each_worker_has_gpus_of_its_own(monkeypatch):
    started = []
    workers = types.SimpleNamespace(start=lambda *arguments: started.append(arguments))
    flags.FLAGS.mark_as_parsed()
    with flagsaver.flagsaver(num_workers=3, gpus_per_worker=2):
        local._start(workers, ["train"])
    gpus = [environment["CUDA_VISIBLE_DEVICES"] for _, _, environment in started]
    assert gpus == ["0,1", "2,3", "4,5"]


@pytest.mark.parametrize(
    "end, code, said",
    [
        ("sys.exit(9)", 9, "worker 1 ended with exit code 9"),
        ("os.kill(os.getpid(), signal.SIGKILL)", 137, "worker 1 was terminated by SIGKILL"),
    ],
)
def test_the_first_failure_ends_all_and_its_code_is_passed_on(end, code, said):
    # The others ignore SIGTERM, as a process that is stuck in a reduction does.
    stuck = "signal.signal(signal.SIGTERM, signal.SIG_IGN); time.sleep(100) if index != 1 else 0;"
    got, lines = run(["--grace_seconds=1"], f"{stuck} time.sleep(1); {end}")
    assert got == code
    assert lines[-1].endswith(said)


def test_it_restarts_as_often_as_allowed(tmp_path):
    starts = tmp_path / "starts"
    starts.touch()
    # One worker waits for the fifth start in all, the other counts them and fails until then.
    script = (
        f"starts = pathlib.Path('{starts}');"
        "count = lambda: len(starts.read_text());"
        "any(iter(lambda: time.sleep(0.05) or count() == 5, True)) if index == 0 else 0;"
        "starts.open('a').write('x') if index == 1 else 0;"
        "sys.exit(76 if count() < 5 else 0)"
    )
    code, lines = run(["--max_restarts=2"], script)
    assert code == 76
    assert starts.read_text() == "xxx"
    assert sum("restart 1 of at most 2" in line for line in lines) == 1
    assert run(["--max_restarts=2"], script)[0] == 0
    assert starts.read_text() == "xxxxx"


@pytest.mark.parametrize("code", [2, 3, 75])
def test_what_a_restart_would_repeat_is_not_restarted(code):
    got, lines = run(["--max_restarts=2"], f"print('once'); sys.exit({code})")
    assert got == code
    # One of them may be ended before it says anything.
    said = [of_worker(lines, index) for index in range(2)]
    assert ["once"] in said and all(one in ([], ["once"]) for one in said)


def test_sigterm_is_passed_on_and_ends_it_with_the_workers_code():
    handler = "signal.signal(signal.SIGTERM, lambda *_: sys.exit(75)); print('ready');"
    process = start(["--max_restarts=2"], f"{handler} time.sleep(100)")
    lines = [process.stderr.readline() for _ in range(2)]
    assert sorted(lines) == ["[worker 0] ready\n", "[worker 1] ready\n"]
    process.send_signal(signal.SIGTERM)
    assert process.wait(timeout=60) == 75
    process.stderr.close()


def test_a_closed_terminal_asks_the_workers_to_stop_too():
    handler = "signal.signal(signal.SIGTERM, lambda *_: sys.exit(75)); print('ready');"
    process = start(["--max_restarts=2"], f"{handler} time.sleep(100)")
    for _ in range(2):
        process.stderr.readline()
    process.send_signal(signal.SIGHUP)
    assert process.wait(timeout=60) == 75
    process.stderr.close()


@pytest.mark.parametrize("kept", [0, 1])
def test_it_ends_as_its_workers_do_though_nobody_reads_on(kept, tmp_path):
    # Far more than a pipe holds: whoever waits for a reader would wait for ever.
    lines = (
        f"print(('line ' * 20 + chr(10)) * 20_000); pathlib.Path('{tmp_path}', str(index)).touch()"
    )
    process = start(["--num_workers=2"], f"{lines}; sys.exit(9 * index)")
    for _ in range(kept):
        process.stderr.readline()
    process.stderr.close()
    assert process.wait(timeout=60) == 9
    assert {path.name for path in tmp_path.iterdir()} >= {"1"}


def test_a_process_that_a_worker_left_behind_does_not_keep_it():
    left = "import subprocess; print(subprocess.Popen(['sleep', '100']).pid)"
    process = start(["--num_workers=1"], left)
    assert process.wait(timeout=60) == 0
    psutil.Process(int(process.stderr.readline().split()[-1])).kill()
    process.stderr.close()


def test_workers_do_not_outlive_a_killed_launcher():
    process = start([], "print(os.getpid()); time.sleep(100)")
    workers = [psutil.Process(int(process.stderr.readline().split()[-1])) for _ in range(2)]
    process.kill()
    process.communicate()
    wait_until(lambda: not any(map(is_alive, workers)), seconds=30)


@pytest.mark.parametrize(
    "words, said",
    [
        (["python"], "expected a command after --"),
        (["--"], "expected a command after --"),
        (["--", "no-such-command"], "no-such-command could not be started"),
    ],
)
def test_what_is_no_command_is_refused(words, said):
    command = [sys.executable, "-m", "launch.local", *words]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)  # noqa: S603
    assert done.returncode == 2
    assert said in done.stderr
    assert "Traceback" not in done.stderr
