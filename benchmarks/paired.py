"""Measures alternatives side by side: each in a process of its own, taking turns.

All processes are started first and then told, one at a time, to do the same amount of work, so that
whatever else the machine does meets all of them alike.
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
    """One alternative, waiting in its process to be told to work."""

    def __init__(
        self, module: str, flags: Sequence[str], environment: Mapping[str, str] | None = None
    ) -> None:
        """Starts it.

        Args:
            module: a module of this package that calls `serve` when its flags say so.
            flags: its command line.
            environment: variables in addition to this process' own.
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
        """Lets it work once; returns what it measured.

        Raises:
            ValueError: its process has ended.
        """
        self.order()
        return self.answer()

    def order(self, work: str = "work") -> None:
        """Lets it begin to work, and does not wait.

        Args:
            work: what it is told, one line.
        """
        assert self._process.stdin
        # Where it has ended, its answer is missing.
        with contextlib.suppress(BrokenPipeError):
            self._process.stdin.write(f"{work}\n")
            self._process.stdin.flush()

    def answer(self) -> Any:
        """What it measured since the last order.

        Raises:
            ValueError: its process has ended.
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
        """Ends its process in the middle of its work; its answer will be missing."""
        self._process.kill()

    @contextlib.contextmanager
    def killed_after(self, seconds: float | None) -> Iterator[None]:
        """While open, its process lives for so long at most; None: as long as it wants."""
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
    """Works whenever the parent process says so, until it says no more.

    Args:
        work: does the work once and returns what it measured.
        orders: where the orders come from; standard input if None.
    """
    for _ in orders or sys.stdin:
        print(json.dumps(work()), flush=True)


def alternate(contestants: Mapping[_Name, Contestant], rounds: int) -> dict[_Name, list[Any]]:
    """Lets alternatives work in turn.

    Args:
        contestants: the alternatives by name.
        rounds: how often each works, after one turn that is not counted.

    Returns:
        What each measured in each round.
    """
    measured = {name: [] for name in contestants}
    try:
        for _ in range(rounds + 1):
            for name, contestant in contestants.items():
                measured[name].append(contestant.work())
    except BaseException:
        # Nobody waits for the work that the others are at.
        for contestant in contestants.values():
            contestant.kill()
        raise
    finally:
        for contestant in contestants.values():
            contestant.end()
    return {name: values[1:] for name, values in measured.items()}


def ratio(ours: Sequence[float], theirs: Sequence[float]) -> float:
    """The median over rounds of how many times the one is the other."""
    return statistics.median(one / other for one, other in zip(ours, theirs, strict=True))
