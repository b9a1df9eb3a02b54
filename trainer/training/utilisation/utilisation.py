"""What an epoch's row says of devices and time."""

import dataclasses


@dataclasses.dataclass(frozen=True)
class Utilisation:
    """How well an epoch used devices and time; None where that was not measured.

    Times are shares of the time from the end of the epoch before, or the beginning of the training,
    to the end of validation; they add up to 1.

    Attributes:
        mfu: model FLOP utilisation, 0 to 1: counted operations of the steps, at the rate of
            `images_per_second`, as a share of the devices' published peak.
        gpu_memory_peak_bytes: the most that tensors took on any GPU.
        step_seconds_p50: median of the time from the end of a step to the end of the next, which
            includes its wait for input; without the first step, which compiles.
        step_seconds_p99: 99th percentile of the same.
        time_share_training: in steps but the first.
        time_share_input: waiting for input, of the average replica.
        time_share_checkpoint: in which training stood still for a checkpoint.
        time_share_validation: in validation.
        time_share_other: in all else: tracing, compiling, observers, restoring.
        slowest_worker: index of the worker whose gradients were ready last, on average.
        slowest_worker_lag: how much longer it took than the others' mean: 0.25 is a quarter.
    """

    mfu: float | None = None
    gpu_memory_peak_bytes: int | None = None
    step_seconds_p50: float | None = None
    step_seconds_p99: float | None = None
    time_share_training: float | None = None
    time_share_input: float | None = None
    time_share_checkpoint: float | None = None
    time_share_validation: float | None = None
    time_share_other: float | None = None
    slowest_worker: int | None = None
    slowest_worker_lag: float | None = None

    def measured(self) -> dict[str, float]:
        """What was measured, by name."""
        return {name: value for name, value in vars(self).items() if value is not None}


NAMES = tuple(field.name for field in dataclasses.fields(Utilisation))
