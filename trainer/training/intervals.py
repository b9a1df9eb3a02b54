"""How often a training saves and shows how it stands."""

import dataclasses
import math

from trainer.settings import section, setting


@section("Checkpoints and logs")
@dataclasses.dataclass(frozen=True)
class Intervals:
    """Steps between what is written.

    Attributes:
        checkpoint_steps: steps between two checkpoints within an epoch; 0 makes none there.
        log_steps: steps between two rows of TensorBoard's step charts, and two progress lines.
        profile_steps: `A:B` records a profile from step A to step B.
    """

    checkpoint_steps: int = setting(
        0, "Steps between checkpoints in an epoch; 0: none.", within=(0, math.inf)
    )
    log_steps: int = setting(
        50, "Steps between rows of TensorBoard's step charts.", within=(1, math.inf)
    )
    profile_steps: str | None = setting(
        None, "A:B records a profile from step A to step B.", is_fixed=False
    )
