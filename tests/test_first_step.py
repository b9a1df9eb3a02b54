"""The first step is taken apart, and a line says how long it takes."""

import sys
import threading
import types

import numpy as np
import pytest

from trainer import progress_line
from trainer.progress_line import seconds_shown
from trainer.training.first_step import FirstStep
from trainer.training.step_result import StepResult


class Graph:
    """A graph's loop over steps: it takes one step more than needed, and none after that."""

    def __init__(self, ends_at=None, by_stop=False):
        self.calls, self._taken = [], 0
        self._ends_at, self._by_stop = ends_at, by_stop

    def __call__(self, steps):
        self.calls.append(steps)
        before, taken = self._taken, 0
        while taken < steps and not (self._ends_at and before + taken > self._ends_at):
            taken += 1
        self._taken += taken
        ended = bool(self._ends_at) and before < self._ends_at <= self._taken
        diverged = self._ends_at - before if ended and not self._by_stop else None
        seconds = np.arange(before, self._taken) + 1.0
        return StepResult(taken, ended and self._by_stop, diverged, self._taken, seconds)


def test_later_calls_are_not_split():
    graph, first = Graph(), FirstStep("compiling", waited=lambda: 7.0)
    results = [first.take(steps, graph) for steps in (0, 5, 5)]
    assert [result[:4] for result in results] == [
        (0, False, None, 0), (5, False, None, 5), (5, False, None, 10),
    ]  # fmt: skip
    # The first step compiles.
    assert [list(result.seconds) for result in results] == [[], [2, 3, 4, 5], [6, 7, 8, 9, 10]]
    assert [result.untimed_wait for result in results] == [0.0, 7.0, 0.0]
    assert graph.calls == [0, 1, 4, 5]


@pytest.mark.parametrize("by_stop", [False, True])
@pytest.mark.parametrize("ends_at", [1, 2, 4, 9])
@pytest.mark.parametrize("steps", [1, 2, 5])
def test_the_result_is_that_of_one_call(steps, ends_at, by_stop):
    whole = Graph(ends_at, by_stop)(steps)
    assert FirstStep("compiling").take(steps, Graph(ends_at, by_stop))[:4] == whole[:4]


class Clock:
    """Stands for `time` and for the thread's event: each of its looks comes a second later."""

    def __init__(self, seconds):
        self.now, self.seconds, self.is_over = 0.0, seconds, threading.Event()

    def monotonic(self):
        return self.now

    def wait(self, timeout):
        if self.now == self.seconds:
            self.is_over.set()
            return True
        self.now += 1.0
        return False

    def set(self):
        assert self.now == self.seconds


@pytest.mark.parametrize("is_terminal", [False, True])
def test_long_work_says_every_ten_seconds_how_long_it_has_taken(is_terminal, monkeypatch, capsys):
    monkeypatch.setattr(sys.stderr, "isatty", lambda: is_terminal)
    clock, before = Clock(45), threading.active_count()
    threads = types.SimpleNamespace(Event=lambda: clock, Thread=threading.Thread)
    monkeypatch.setattr(progress_line, "time", clock)
    monkeypatch.setattr(progress_line, "threading", threads)
    with seconds_shown("compiling"):
        assert clock.is_over.wait(60)
    assert threading.active_count() == before
    said = capsys.readouterr().err
    if is_terminal:
        texts = [f"\rcompiling, {second} s so far" for second in range(1, 46)]
        assert said == "".join(texts) + "\r" + " " * len(texts[-1].strip()) + "\r"
    else:
        assert said.splitlines() == [f"compiling, {second} s so far" for second in (10, 20, 30, 40)]


def test_work_that_fails_leaves_no_thread():
    before = threading.active_count()
    with pytest.raises(ValueError, match="no"), seconds_shown("compiling"):
        raise ValueError("no")
    assert threading.active_count() == before
