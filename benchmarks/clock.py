"""The time that a command may take."""

import time


class Clock:
    """How much of the time that a command may take is left."""

    def __init__(self, minutes: float | None) -> None:
        """Starts it.

        Args:
            minutes: that the command may take; None: as many as it wants.
        """
        self._until = None if minutes is None else time.monotonic() + 60 * minutes

    def left(self) -> float | None:
        """Seconds that are left, none below zero; None: any number."""
        return None if self._until is None else max(0.0, self._until - time.monotonic())
