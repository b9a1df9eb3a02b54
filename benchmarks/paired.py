"""Measures alternatives side by side, each in its own process, taking turns.

All processes are started first and then told, one at a time, to do the same amount of work, so that
other load on the machine affects all of them equally.
"""

import contextlib
import json
import os
import statistics
import subprocess
import sys
import tempfile
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, TextIO, TypeVar

_Name = TypeVar("_Name")


class Contestant:
    """One alternative in its own process, waiting for orders."""

    def __init__(
        self, module: str, flags: Sequence[str], environment: Mapping[str, str] | None = None
    ) -> None:
        """Starts the process.

        Args:
            module: a module of this package that calls `serve` when its flags say so.
            flags: its command line.
            environment: environment variables added to this process' own.
        """
        self._command = [sys.executable, "-m", module, *flags]
        self._errors = tempfile.TemporaryFile("w+", errors="replace")
        self._process = subprocess.Popen(  # noqa: S603
            self._command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._errors,
            text=True,
            env={**os.environ, **(environment or {})},
        )

    def work(self) -> Any:
        """Makes it work once; returns its measurement.

        Raises:
            ValueError: the process has ended.
        """
        self.order()
        return self.answer()

    def order(self, work: str = "work") -> None:
        """Starts its work without waiting.

        Args:
            work: the order, one line.
        """
        assert self._process.stdin
        # If it has ended, the missing answer is noticed later.
        with contextlib.suppress(BrokenPipeError):
            self._process.stdin.write(f"{work}\n")
            self._process.stdin.flush()

    def answer(self) -> Any:
        """Returns its measurement since the last order.

        Raises:
            ValueError: the process has ended.
        """
        assert self._process.stdout
        line = self._process.stdout.readline()
        if not line:
            raise ValueError(
                f"an alternative failed: {' '.join(self._command)}{self._last_error()}"
            )
        return json.loads(line)

    def _last_error(self) -> str:
        self._process.wait()
        self._errors.seek(0)
        lines = self._errors.read().split("\n")
        said = [line.strip() for line in lines if line.strip()]
        return f" ({said[-1]})" if said else ""

    def kill(self) -> None:
        """Kills its process during work; its answer will be missing."""
        self._process.kill()

    @contextlib.contextmanager
    def killed_after(self, seconds: float | None) -> Iterator[None]:
        """Kills its process after a time limit; None: no limit."""
        if seconds is None:
            yield
            return
        timer = threading.Timer(max(0.0, seconds), self.kill)
        timer.start()
        try:
            yield
        finally:
            timer.cancel()

    def end(self) -> None:
        """Ends its process."""
        assert self._process.stdin
        with contextlib.suppress(BrokenPipeError):
            self._process.stdin.close()
        self._process.wait()
        self._errors.close()


def serve(work: Callable[[], Any], orders: TextIO | None = None) -> None:
    """Works whenever the parent process requests it, until the orders end.

    Args:
        work: does the work once and returns the measurement.
        orders: source of the orders; None: standard input.
    """
    for _ in orders or sys.stdin:
        print(json.dumps(work()), flush=True)


def alternate(contestants: Mapping[_Name, Contestant], rounds: int) -> dict[_Name, list[Any]]:
    """Runs the alternatives in turn.

    Args:
        contestants: the alternatives by name.
        rounds: number of timed turns of each, after one untimed turn.

    Returns:
        The measurements of each alternative, by round.
    """
    measured = {name: [] for name in contestants}
    try:
        for _ in range(rounds + 1):
            for name, contestant in contestants.items():
                measured[name].append(contestant.work())
    except BaseException:
        # Nobody will read the results of the work in progress.
        for contestant in contestants.values():
            contestant.kill()
        raise
    finally:
        for contestant in contestants.values():
            contestant.end()
    return {name: values[1:] for name, values in measured.items()}


def ratio(ours: Sequence[float], theirs: Sequence[float]) -> float:
    """Returns the median over rounds of the ratio of both."""
    return statistics.median(one / other for one, other in zip(ours, theirs, strict=True))
