"""Measures the utilisation of devices and time in each epoch."""

import contextlib
from collections.abc import Sequence

import numpy as np
import tensorflow as tf

from trainer.training.config import Config
from trainer.training.engine import Engine
from trainer.training.gathering import gather
from trainer.training.step_result import StepResult
from trainer.training.utilisation.gpu_memory import GpuMemory
from trainer.training.utilisation.time_shares import TimeShares
from trainer.training.utilisation.utilisation import Utilisation

_MICROSECONDS = 1e6


class Meter:
    """Collects the times of steps and other work, and summarises each epoch."""

    def __init__(
        self,
        config: Config,
        strategy: tf.distribute.Strategy,
        peak_flops: float | None,
        *,
        memory: GpuMemory | None = None,
        time_shares: TimeShares | None = None,
    ) -> None:
        """Starts measuring the first epoch.

        Args:
            config: the run's configuration; a deterministic run measures nothing.
            strategy: the strategy of the training.
            peak_flops: peak of all its devices together, in FLOP/s; None: no MFU.
            memory: memory of this process' GPUs; None: measured by TensorFlow.
            time_shares: time shares of the epoch; None: measured by this machine's clock.
        """
        self._is_deterministic = config.task.deterministic
        self._batch_size = config.batching.global_batch_size
        devices = strategy.extended.worker_devices
        self._strategy, self._peak_flops = strategy, peak_flops
        self._memory = memory or GpuMemory(devices)
        self._time = time_shares or TimeShares()
        self._replicas = strategy.num_replicas_in_sync
        self._has_peers = self._replicas > len(devices)
        self._seconds: list[float] = []
        self._own_seconds: list[float] = []

    def spending(self, kind: str) -> contextlib.AbstractContextManager[None]:
        """Counts the time inside the context as one of `time_shares.KINDS`."""
        return self._time.spending(kind)

    def finish_steps(self, result: StepResult, waited_by_all: float) -> float:
        """Records the steps of a call of the engine.

        Args:
            result: result of the call.
            waited_by_all: seconds that all replicas together waited for input in these steps.

        Returns:
            Seconds that the average replica waited.
        """
        waited = waited_by_all / self._replicas
        self._seconds += result.seconds.tolist()
        self._own_seconds += result.own_seconds.tolist()
        waited_in_timed = waited - result.untimed_wait / self._replicas
        self._time.add("training", max(0.0, float(result.seconds.sum()) - waited_in_timed))
        self._time.add("input", waited)
        return waited

    @property
    def waited(self) -> float:
        """Seconds that the average replica waited for input in this epoch."""
        return self._time.spent("input")

    def finish_epoch(self, engine: Engine, images_per_second: float | None) -> Utilisation:
        """Summarises an epoch over all workers and starts the next one.

        Args:
            engine: the engine that ran its steps.
            images_per_second: throughput of the epoch; None if no step was run.
        """
        if self._is_deterministic:
            return Utilisation()
        mfu = None
        if self._peak_flops and images_per_second:
            flops_per_image = engine.flops * self._replicas / self._batch_size
            mfu = images_per_second * flops_per_image / self._peak_flops
        p50, p99 = np.percentile(self._seconds, [50, 99]).tolist() if self._seconds else (None,) * 2
        shares = {f"time_share_{kind}": share for kind, share in self._time.take().items()}
        peak_bytes, slowest, lag = self._memory.take_peak(), None, None
        if self._has_peers:
            own = np.mean(self._own_seconds) if self._own_seconds else 0.0
            rows = gather(self._strategy, [round(own * _MICROSECONDS), peak_bytes])
            peak_bytes = int(rows[:, 1].max())
            slowest, lag = find_slowest(rows[:, 0].tolist())
        self._seconds, self._own_seconds = [], []
        return Utilisation(
            mfu, peak_bytes or None, p50, p99, **shares,
            slowest_worker=slowest, slowest_worker_lag=lag,
        )  # fmt: skip


def find_slowest(times: Sequence[float]) -> tuple[int, float] | tuple[None, None]:
    """Returns the slowest worker, and its excess over the others' mean, relative to that mean.

    Args:
        times: times of at least two workers; all 0 if steps were not timed.

    Returns:
        The index and the excess; both None if steps were not timed.
    """
    slowest = int(np.argmax(times))
    others = float(np.mean(np.delete(times, slowest)))
    return (slowest, times[slowest] / others - 1.0) if others else (None, None)
