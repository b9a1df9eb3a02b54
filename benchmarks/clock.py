"""The time limit of a command."""

import time


class Clock:
    """The remaining time of a command."""

    def __init__(self, minutes: float | None) -> None:
        """Starts the clock.

        Args:
            minutes: limit of the command; None: no limit.
        """
        self._until = None if minutes is None else time.monotonic() + 60 * minutes

    def left(self) -> float | None:
        """Seconds left, at least zero; None: no limit."""
        return None if self._until is None else max(0.0, self._until - time.monotonic())
