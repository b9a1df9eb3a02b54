import os
import signal

import pytest

from cxr_command.stop_signals import Terminated, raising, stop_signals


@pytest.fixture
def nohup():
    previous = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    yield
    signal.signal(signal.SIGHUP, previous)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP])
def test_each_of_them_raises_once_and_is_named(number):
    before = signal.getsignal(number)
    with pytest.raises(Terminated, match=f"by {number.name};") as end, raising():
        try:
            os.kill(os.getpid(), number)
        finally:
            os.kill(os.getpid(), number)  # While what was written is removed.
    assert end.value.exit_code == 143
    assert signal.getsignal(number) == before


def test_a_hangup_that_is_ignored_stays_ignored(nohup):
    assert stop_signals() == (signal.SIGTERM,)
    with raising():
        os.kill(os.getpid(), signal.SIGHUP)
        assert signal.getsignal(signal.SIGHUP) == signal.SIG_IGN


def test_one_within_another_heeds_the_same():
    with raising():
        assert stop_signals() == (signal.SIGTERM, signal.SIGHUP)
