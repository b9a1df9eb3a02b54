"""Division of a global batch among replicas and their micro-batches."""

import dataclasses
import math

from absl import logging

from trainer.errors import UserError
from trainer.settings import section, setting


@section("Batches", in_recipes=True)
@dataclasses.dataclass(frozen=True)
class Batching:
    """The batch size and its division.

    Attributes:
        global_batch_size: examples per step, over all replicas.
        accumulation_steps: number of micro-batches that each replica's batch is split into to save
            memory; they run in sequence, and the gradients are those of the whole batch.
    """

    global_batch_size: int = setting(
        16, "Examples per step over all replicas; auto: the most that the GPUs' memory holds.",
        within=(1, math.inf), or_auto=True,
    )  # fmt: skip
    accumulation_steps: int = setting(
        1, "Micro-batches per replica (gradient accumulation).", within=(1, math.inf)
    )

    def require_even(self, num_replicas: int) -> None:
        """Checks that the global batch divides evenly by replicas and micro-batches.

        Raises:
            UserError: the batch does not divide evenly.
        """
        nearest = self.nearest_even(num_replicas)
        if self.global_batch_size != nearest:
            replicas = "replica" if num_replicas == 1 else f"{num_replicas} replicas"
            micro_batches = f" with {self.accumulation_steps} micro-batches each"
            raise UserError(
                f"--global_batch_size={self.global_batch_size} does not divide by the {replicas}"
                f"{micro_batches if self.accumulation_steps > 1 else ''}; use a multiple of "
                f"{self.parts(num_replicas)}, such as {nearest}"
            )

    def warn_above(self, examples: int) -> None:
        """Logs a warning if a batch is larger than an epoch, as padding would be computed."""
        if self.global_batch_size > examples:
            logging.warning(
                "--global_batch_size=%d is larger than the training split of %d examples: an "
                "epoch is one step, partly padding; lower it to save time and memory",
                self.global_batch_size, examples,
            )  # fmt: skip

    def parts(self, num_replicas: int) -> int:
        """Number of equal parts of a global batch, each computed at once on one replica."""
        return num_replicas * self.accumulation_steps

    def nearest_even(self, num_replicas: int) -> int:
        """Returns the nearest global batch size that divides evenly by its parts."""
        parts = self.parts(num_replicas)
        return max(1, round(self.global_batch_size / parts)) * parts
