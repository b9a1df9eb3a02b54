"""What a call of the engine did."""

from typing import NamedTuple

import numpy as np

_NOT_TIMED = np.zeros(0)


class StepResult(NamedTuple):
    """What a call of the engine did.

    Attributes:
        steps: the number of steps taken, fewer than asked for if one of the following is true.
        stopped: whether a stop was asked for on any worker.
        diverged: the first of these steps, counted from 1, whose loss or gradient is not finite,
            and with float16 stays so at a loss scale of 1; None if there is none.
        gradient_norm: of the last step's reduced gradients before clipping; 0 in evaluation.
        seconds: `[steps] float64`, from the end of the step before, or the beginning of the call,
            to the end of each step; without the first of the engine, which compiles, and empty
            where steps are not timed.
        own_seconds: likewise until this worker's gradients were ready to be summed; empty if there
            is no other worker.
        untimed_wait: seconds for which all replicas together waited in steps that `seconds` lacks.
    """

    steps: int
    stopped: bool
    diverged: int | None
    gradient_norm: float = 0.0
    seconds: np.ndarray = _NOT_TIMED
    own_seconds: np.ndarray = _NOT_TIMED
    untimed_wait: float = 0.0

    def then(self, later: "StepResult") -> "StepResult":
        """The result of these steps and of those that followed."""
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
        """The same without the seconds of its steps, in which replicas waited for so many."""
        return self._replace(seconds=_NOT_TIMED, own_seconds=_NOT_TIMED, untimed_wait=waited)
