"""The first step of a graph, which traces and compiles, and takes minutes for a large network."""

from collections.abc import Callable

from trainer.progress_line import seconds_shown
from trainer.training.step_result import StepResult


class FirstStep:
    """Takes the first step of a graph apart from the others, and shows how long it takes."""

    def __init__(self, doing: str, waited: Callable[[], float] = lambda: 0.0) -> None:
        """Nothing has been compiled yet.

        Args:
            doing: what the first step does, such as `compiling`.
            waited: tells, once it is taken, how many seconds all replicas together waited in it.
        """
        self._doing, self._waited, self._is_taken = doing, waited, False

    def take(self, steps: int, call: Callable[[int], StepResult]) -> StepResult:
        """Takes steps.

        Args:
            steps: how many.
            call: takes so many.

        Returns:
            The result of them all; the first step is not timed, as it compiles.
        """
        if self._is_taken or not steps:
            return call(steps)
        with seconds_shown(self._doing):
            first = call(1)
        first, self._is_taken = first.untimed(self._waited()), True
        if steps == 1:
            return first
        # The graph's loop would take one step more than needed, too.
        return first.then(call(1 if first.stopped or first.diverged else steps - 1))
