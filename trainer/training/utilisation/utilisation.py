"""The utilisation of devices and time in an epoch's row."""

import dataclasses


@dataclasses.dataclass(frozen=True)
class Utilisation:
    """Utilisation of devices and time in an epoch; None if not measured.

    Time shares refer to the time from the end of the previous epoch, or the start of the training,
    to the end of validation; they add up to 1.

    Attributes:
        mfu: model FLOP utilisation, 0 to 1: the steps' counted operations at the rate of
            `images_per_second`, divided by the devices' published peak.
        gpu_memory_peak_bytes: peak memory of tensors on any GPU.
        step_seconds_p50: median time from the end of a step to the end of the next, including the
            wait for input but not the first step, which compiles.
        step_seconds_p99: 99th percentile of the same.
        time_share_training: share of all steps except the first.
        time_share_input: share that the average replica waited for input.
        time_share_checkpoint: share in which training was paused for a checkpoint.
        time_share_validation: share of validation.
        time_share_other: share of everything else: tracing, compiling, observers, restoring.
        slowest_worker: index of the worker whose gradients were ready last, on average.
        slowest_worker_lag: its excess over the others' mean, relative to that mean: 0.25 means 25 %
            longer.
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
        """Returns the measured values by name."""
        return {name: value for name, value in vars(self).items() if value is not None}


NAMES = tuple(field.name for field in dataclasses.fields(Utilisation))
