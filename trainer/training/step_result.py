"""The result of an engine call."""

from typing import NamedTuple

import numpy as np

_NOT_TIMED = np.zeros(0)


class StepResult(NamedTuple):
    """The result of an engine call.

    Attributes:
        steps: the number of steps run; fewer than requested if training was stopped or diverged.
        stopped: whether a stop was requested on any worker.
        diverged: the first of these steps, counted from 1, whose loss or gradient is not finite
            (with float16: even at a loss scale of 1); None if there is none.
        gradient_norm: norm of the last step's reduced gradients before clipping; 0 in evaluation.
        seconds: `[steps] float64`, from the end of the previous step, or the start of the call, to
            the end of each step. Excludes the engine's first step, which compiles; empty if steps
            are not timed.
        own_seconds: the same, but until this worker's gradients were ready to be summed; empty with
            a single worker.
        untimed_wait: seconds that all replicas together waited in steps excluded from `seconds`.
    """

    steps: int
    stopped: bool
    diverged: int | None
    gradient_norm: float = 0.0
    seconds: np.ndarray = _NOT_TIMED
    own_seconds: np.ndarray = _NOT_TIMED
    untimed_wait: float = 0.0

    def then(self, later: "StepResult") -> "StepResult":
        """Returns the combined result of these steps and later ones."""
        diverged = self.diverged
        if diverged is None and later.diverged is not None:
            diverged = self.steps + later.diverged
        return later._replace(
            steps=self.steps + later.steps,
            stopped=self.stopped or later.stopped,
            diverged=diverged,
            seconds=np.concatenate([self.seconds, later.seconds]),
            own_seconds=np.concatenate([self.own_seconds, later.own_seconds]),
            untimed_wait=self.untimed_wait + later.untimed_wait,
        )

    def untimed(self, waited: float) -> "StepResult":
        """Returns the result without step times; replicas waited for `waited` seconds in them."""
        return self._replace(seconds=_NOT_TIMED, own_seconds=_NOT_TIMED, untimed_wait=waited)
