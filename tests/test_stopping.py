"""Signals that ask a launcher to stop."""

import os
import signal
import subprocess

import pytest

from trainer.processes import stopping


class Process:
    """What is said to it."""

    def __init__(self, pid):
        self.pid, self.told = pid, []

    def terminate(self):
        self.told.append("stop")

    def kill(self):
        self.told.append("end")


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGHUP])
def test_each_process_is_told_once_and_one_that_is_started_later_too(number):
    early, late = Process(1), Process(2)
    with stopping.noted() as asked:
        asked.pass_on([early])
        assert not asked.to_stop and early.told == []
        os.kill(os.getpid(), number)
        assert asked.to_stop and not asked.to_kill
        asked.pass_on([early])
        asked.pass_on([early, late])
    assert early.told == late.told == ["stop"]


def test_a_second_interrupt_kills():
    process = Process(1)
    with stopping.noted() as asked:
        for _ in range(2):
            os.kill(os.getpid(), signal.SIGINT)
            asked.pass_on([process])
    assert process.told == ["stop", "end"]


def test_the_handlers_before_are_put_back():
    numbers = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)
    before = [signal.getsignal(number) for number in numbers]
    with stopping.noted():
        assert [signal.getsignal(number) for number in numbers] != before
    assert [signal.getsignal(number) for number in numbers] == before


def test_under_nohup_a_closed_terminal_is_no_reason_to_stop():
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        with stopping.noted() as asked:
            os.kill(os.getpid(), signal.SIGHUP)
            assert not asked.to_stop
    finally:
        signal.signal(signal.SIGHUP, before)


def test_a_real_process_is_asked():
    process = subprocess.Popen(["sleep", "100"])  # noqa: S607
    with stopping.noted() as asked:
        os.kill(os.getpid(), signal.SIGTERM)
        asked.pass_on([process])
    assert process.wait(timeout=30) == -signal.SIGTERM
