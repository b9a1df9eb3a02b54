"""How often a training saves its state and reports progress."""

import dataclasses
import math

from trainer.settings import section, setting


@section("Checkpoints and logs")
@dataclasses.dataclass(frozen=True)
class Intervals:
    """Intervals, in steps, and destinations of the output.

    Attributes:
        checkpoint_steps: steps between two checkpoints within an epoch; 0: none within an epoch.
        log_steps: steps between two rows of TensorBoard's step charts, and two progress lines.
        profile_steps: `A:B` records a profile from step A to step B.
        prometheus_file: file with the newest metrics for Prometheus' node exporter; None: no file.
        mlflow_uri: URI of the server or file in which MLflow records the run; None: no MLflow.
    """

    checkpoint_steps: int = setting(
        0, "Steps between checkpoints in an epoch; 0: none.", within=(0, math.inf)
    )
    log_steps: int = setting(
        50, "Steps between rows of TensorBoard's step charts.", within=(1, math.inf)
    )
    profile_steps: str | None = setting(
        None, "A:B: record a profile from step A to step B.", is_fixed=False
    )
    prometheus_file: str | None = setting(
        None, "NAME.prom: write the latest metrics for Prometheus' node exporter.",
        is_fixed=False,
    )  # fmt: skip
    mlflow_uri: str | None = setting(
        None, "http://HOST:PORT or sqlite:///FILE: keep the run in MLflow there.", is_fixed=False
    )

    def steps_left(self, step: int, steps_per_epoch: int) -> int:
        """Returns the steps until metrics, a checkpoint or the end of the epoch are due.

        Args:
            step: steps taken in the epoch.
            steps_per_epoch: steps of the whole epoch.
        """
        left = min(self.log_steps, steps_per_epoch - step)
        every = self.checkpoint_steps
        return min(left, every - step % every) if every else left

    def is_checkpoint_due(self, step: int, steps_per_epoch: int) -> bool:
        """Whether a checkpoint within the epoch is due after this many steps."""
        every = self.checkpoint_steps
        return bool(every) and step % every == 0 and step < steps_per_epoch
