"""Execution options of training steps, independent of what they compute."""

import dataclasses

from trainer.training.loss_scale import DynamicLossScale


@dataclasses.dataclass(frozen=True)
class Execution:
    """Compilation, memory and precision of a step.

    Attributes:
        xla: whether XLA compiles the forward and backward pass.
        xla_update: whether XLA compiles the update; None: the same as `xla`.
        accumulation_steps: number of micro-batches that a replica's batch is split into to save
            memory; they run in sequence, and the gradients are those of the whole batch.
        reduce_dtype: dtype in which gradients are summed over the replicas; None: the weights'.
        loss_scale: the loss scale for float16; None: no loss scaling.
    """

    xla: bool = False
    xla_update: bool | None = None
    accumulation_steps: int = 1
    reduce_dtype: str | None = None
    loss_scale: DynamicLossScale | None = None

    @property
    def compiles_update(self) -> bool:
        """Whether XLA compiles the update."""
        return self.xla if self.xla_update is None else self.xla_update
