"""Breakdown of a training's wall time."""

import contextlib
import time
from collections.abc import Callable, Iterator

KINDS = ("training", "input", "checkpoint", "validation")
OTHER = "other"


class TimeShares:
    """Shares of the time since the last reading, which add up to 1."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        """Starts measuring.

        Args:
            clock: returns the time in seconds.
        """
        self._clock = clock
        self._begin()

    def _begin(self) -> None:
        self._began, self._spent = self._clock(), dict.fromkeys(KINDS, 0.0)

    def add(self, kind: str, seconds: float) -> None:
        """Adds separately measured time to one of `KINDS`."""
        self._spent[kind] += seconds

    def spent(self, kind: str) -> float:
        """Returns the seconds counted as one of `KINDS` so far."""
        return self._spent[kind]

    @contextlib.contextmanager
    def spending(self, kind: str) -> Iterator[None]:
        """Counts the time inside the context as one of `KINDS`."""
        began = self._clock()
        try:
            yield
        finally:
            self.add(kind, self._clock() - began)

    def take(self) -> dict[str, float]:
        """Returns the share of each of `KINDS`, and of `OTHER`, since the last call."""
        spent = sum(self._spent.values())
        # Steps are timed by another clock, which may run slightly faster.
        whole = max(self._clock() - self._began, spent, 1e-9)
        shares = {kind: seconds / whole for kind, seconds in self._spent.items()}
        self._begin()
        return shares | {OTHER: 1.0 - sum(shares.values())}
