import pytest

from benchmarks import paired


class Failing(paired.Contestant):
    def __init__(self):
        super().__init__("benchmarks.paired", [])


def test_a_contestant_that_ends_is_reported():
    with pytest.raises(ValueError, match="an alternative failed: .*benchmarks.paired"):
        paired.alternate({"failing": Failing()}, 1)


def test_a_contestants_last_words_are_told():
    failing = paired.Contestant("timeit", ["raise OSError('no room')"])
    with pytest.raises(ValueError, match=r"timeit raise .* \(OSError: no room\)"):
        paired.alternate({"failing": failing}, 1)


def test_a_contestant_that_takes_too_long_is_killed():
    slow = paired.Contestant("timeit", ["-n1", "-r1", "import time; time.sleep(600)"])
    with pytest.raises(ValueError, match="an alternative failed"), slow.killed_after(1):
        paired.alternate({"slow": slow}, 1)
