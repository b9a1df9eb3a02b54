"""Checks and benchmarks a machine with a GPU, and collects the results in one folder.

    make gpu

or, if everything is installed, `python -m benchmarks.gpu_report [--output_dir=gpu-report]`. It runs
trainer.doctor, the tests that need a GPU, and benchmarks.node on all GPUs, until the time limit.
The output of each is written to its own file, and all warnings to errors.txt. summary.md and
summary.json are updated after each check, and after Ctrl-C. docs/gpu.md describes the expected
results.
"""

import contextlib
import datetime
import json
import os
import pathlib
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from typing import NamedTuple, TextIO

from absl import flags

from benchmarks.clock import Clock
from benchmarks.machine import describe
from cxr_command.exit_codes import ExitCode
from cxr_command.runner import Command
from trainer.errors import UserError
from trainer.markdown import escape
from trainer.processes import child

_TESTS, _NODE = "tests", "node"
# Seconds after which a check that exceeds its time is killed, and those reserved for node's end.
_GRACE = 20


class Check(NamedTuple):
    """One command of the report.

    Attributes:
        name: name of its file.
        command: arguments of `python -m`.
        seconds: its time limit.
        is_needed: whether its failure makes the others useless.
    """

    name: str
    command: tuple[str, ...]
    seconds: float
    is_needed: bool = False


def checks(clock: Clock) -> Iterator[Check]:
    """Yields the checks, each when it is due; the last one gets the remaining time.

    Args:
        clock: time limit of all checks.
    """
    yield Check("doctor", ("trainer.doctor",), 180, is_needed=True)
    tests = ("pytest", "-m", "gpu and not slow", "-v", "--color=no", "-p", "no:cacheprovider")
    yield Check(_TESTS, tests, 0.5 * (clock.left() or 0))
    left = clock.left() or 0
    node = ("benchmarks.node", "--xla=off,auto", "--batch_size=128", f"--minutes={left / 60:.2f}")
    yield Check(_NODE, node, left + _GRACE)


def run(check: Check, folder: pathlib.Path, results: list[dict]) -> None:
    """Runs a check; its output is shown and saved.

    Args:
        check: the check.
        folder: folder of the report.
        results: receives `name`, `command`, `exit_code`, `seconds` and `says`, the last line of
            output, even if the check is interrupted.
    """
    command, started = [sys.executable, "-m", *check.command], time.monotonic()
    print(f"\n{check.name}: python -m {' '.join(check.command)}", flush=True)
    with (
        open(folder / f"{check.name}.txt", "w", encoding="utf-8") as log,
        open(folder / "errors.txt", "a", encoding="utf-8") as errors,
    ):
        process = child.start(
            command, {"PYTHONUNBUFFERED": "1"}, stdout=subprocess.PIPE, stderr=errors, text=True
        )
        try:
            with _interrupted_after(process, check.seconds):
                _copy(process, log)
        finally:
            if process.poll() is None:
                with _interrupted_after(process, 0):
                    _copy(process, log)
            log.flush()
            results.append({
                "name": check.name, "command": f"python -m {' '.join(check.command)}",
                "exit_code": process.wait(), "seconds": round(time.monotonic() - started, 1),
                "says": _last_sentence(folder / f"{check.name}.txt"),
            })  # fmt: skip


def _copy(process: subprocess.Popen, log: TextIO) -> None:
    """Shows and saves the lines of a process until it ends; lines with results are only saved."""
    assert process.stdout
    for line in process.stdout:
        log.write(line)
        if not line.startswith("{"):
            print(line, end="", flush=True)
    process.wait()


@contextlib.contextmanager
def _interrupted_after(process: subprocess.Popen, seconds: float) -> Iterator[None]:
    """Interrupts a process and its children with Ctrl-C after a time, then kills them."""

    def send(number: signal.Signals) -> None:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, number)

    timers = [
        threading.Timer(seconds, send, [signal.SIGINT]),
        threading.Timer(seconds + _GRACE, send, [signal.SIGKILL]),
    ]
    for timer in timers:
        timer.daemon = True
        timer.start()
    try:
        yield
    finally:
        for timer in timers:
            timer.cancel()


def _last_sentence(file: pathlib.Path) -> str:
    lines = file.read_text(encoding="utf-8").splitlines()
    said = [line.strip("= ") for line in lines if line.strip() and not line.startswith("{")]
    return said[-1] if said else "nothing; see errors.txt"


def summarise(folder: pathlib.Path, results: list[dict]) -> dict:
    """Rewrites summary.json and summary.md.

    Args:
        folder: folder of the report.
        results: results of the checks so far, as of `run`.

    Returns:
        The content of summary.json.
    """
    file = folder / f"{_NODE}.txt"
    lines = file.read_text(encoding="utf-8").splitlines() if file.exists() else []
    measured = json.loads(lines[-1]) if lines and lines[-1].startswith("{") else {}
    machine = describe()
    content = {
        "date": datetime.date.today().isoformat(),
        "gpus": machine["gpus"],
        "machine": machine,
        "checks": results,
        "node": measured,
    }
    (folder / "summary.json").write_text(json.dumps(content, indent=2) + "\n", encoding="utf-8")
    (folder / "summary.md").write_text(_markdown(content), encoding="utf-8")
    return content


def _markdown(content: dict) -> str:
    named, machine, node = content["gpus"], content["machine"], content["node"]
    lines = [
        f"# GPU report: {escape(', '.join(named) or 'no GPU')}, {content['date']}",
        "",
        f"{escape(machine['processor'])}, {machine['cores']} cores, {machine['memory_gib']} GiB; "
        f"Python {machine['python']}, TensorFlow {machine['tensorflow']}.",
        "",
        "| check | exit code | seconds | says |",
        "|---|---|---|---|",
        *(
            f"| {check['name']} | {check['exit_code']} | {check['seconds']} "
            f"| {escape(check['says'])} |"
            for check in content["checks"]
        ),
    ]
    if node:
        lines += ["", *_rates(node)]
    return "\n".join(lines) + "\n"


def _rates(node: dict) -> Iterator[str]:
    for count, found in node["ceilings"].items():
        yield (
            f"A matrix product on {count} device(s) reaches "
            f"{found['matrix_product_flops'] / 1e12:.1f} TFLOP/s in "
            f"{found['hardware']['precision']}, memory "
            f"{found['memory_bytes_per_second'] / 1e12:.2f} TB/s."
        )
    yield ""
    named = f"{node['batch_size']} images a device"
    yield f"| {named} | XLA | devices | images/s | of product | waits for input |"
    yield "|---|---|---|---|---|---|"
    for row in node["rows"]:
        yield (
            f"| {row['model']}, {row['mode']} | {'on' if row['xla'] else 'off'} "
            f"| {row['devices']} | {row['images_per_second']:,.0f} "
            f"| {row['of_matrix_product']:.1%} | {row['shares']['input']:.1%} |"
        )
    for way, why in node["missing"].items():
        yield f"| {way} | | | {escape(why)} | | |"


def _define_flags() -> None:
    flags.DEFINE_string("output_dir", "gpu-report", "Where the report is written; it must be new.")
    flags.DEFINE_float("minutes", 19, "That all takes at most.", lower_bound=1)


def _main() -> None:
    options = flags.FLAGS
    folder = pathlib.Path(options.output_dir)
    if folder.exists():
        raise UserError(f"{folder} is there already; move it, or give another --output_dir")
    folder.mkdir(parents=True)
    report(checks(Clock(options.minutes)), folder)


def report(every: Iterator[Check], folder: pathlib.Path) -> None:
    """Runs the checks one after another, updating the summary after each.

    Args:
        every: the checks.
        folder: folder of the report.

    Raises:
        UserError: a check failed that the others depend on.
    """
    results: list[dict] = []
    for check in every:
        try:
            run(check, folder, results)
        finally:
            summarise(folder, results)
        if results[-1]["exit_code"] and check.is_needed:
            raise UserError(f"{folder / check.name}.txt says why no training on a GPU can run here")
    print(f"\nThe report is in {folder}; send the whole folder.")
    if any(result["exit_code"] for result in results):
        print("A check failed: summary.md there says which.")
        sys.exit(ExitCode.FOUND)


if __name__ == "__main__":
    Command(_main, _define_flags, errors=(UserError, ValueError, OSError)).run()
