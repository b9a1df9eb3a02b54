"""How a global batch is shared by replicas and their micro-batches."""

import dataclasses
import math

from trainer.errors import UserError
from trainer.settings import section, setting


@section("Batches", in_recipes=True)
@dataclasses.dataclass(frozen=True)
class Batching:
    """How many examples a step takes.

    Attributes:
        global_batch_size: examples per step, over all replicas.
        accumulation_steps: micro-batches that each replica's batch is split into, one after the
            other, to save memory; the gradients are those of the whole batch.
    """

    global_batch_size: int = setting(
        16, "Examples per step over all replicas.", within=(1, math.inf)
    )
    accumulation_steps: int = setting(
        1, "Micro-batches of each replica's batch.", within=(1, math.inf)
    )

    def require_even(self, num_replicas: int) -> None:
        """Checks that the replicas, and their micro-batches, can share a global batch evenly.

        Raises:
            UserError: they cannot.
        """
        parts = num_replicas * self.accumulation_steps
        if self.global_batch_size % parts:
            nearest = max(1, round(self.global_batch_size / parts)) * parts
            replicas = "replica" if num_replicas == 1 else f"{num_replicas} replicas"
            micro_batches = f" with {self.accumulation_steps} micro-batches each"
            raise UserError(
                f"--global_batch_size={self.global_batch_size} does not divide by the {replicas}"
                f"{micro_batches if self.accumulation_steps > 1 else ''}; use a multiple of "
                f"{parts}, such as {nearest}"
            )
