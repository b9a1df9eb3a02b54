"""The first step of a graph, which traces and compiles; minutes for a large network."""

from collections.abc import Callable

from trainer.progress_line import seconds_shown
from trainer.training.step_result import StepResult


class FirstStep:
    """Runs the first step of a graph separately, showing the elapsed time."""

    def __init__(self, doing: str, waited: Callable[[], float] = lambda: 0.0) -> None:
        """Initializes the object; compiles nothing.

        Args:
            doing: description of the first step's work, such as `compiling`.
            waited: returns, after the first step, the seconds that all replicas together waited in
                it.
        """
        self._doing, self._waited, self._is_taken = doing, waited, False

    def take(self, steps: int, call: Callable[[int], StepResult]) -> StepResult:
        """Runs steps.

        Args:
            steps: number of steps.
            call: runs a given number of steps.

        Returns:
            The combined result; the first step is not timed, as it compiles.
        """
        if self._is_taken or not steps:
            return call(steps)
        with seconds_shown(self._doing):
            first = call(1)
        first, self._is_taken = first.untimed(self._waited()), True
        if steps == 1:
            return first
        # The graph's loop may run one extra step, too.
        return first.then(call(1 if first.stopped or first.diverged else steps - 1))
