"""The most memory that TensorFlow used on any GPU."""

from collections.abc import Callable, Mapping, Sequence

import tensorflow as tf


class GpuMemory:
    """The peak of the memory that tensors take, from one look to the next."""

    def __init__(
        self,
        devices: Sequence[str],
        read: Callable[[str], Mapping[str, int]] = tf.config.experimental.get_memory_info,
        reset: Callable[[str], None] = tf.config.experimental.reset_memory_stats,
    ) -> None:
        """Names the GPUs.

        Args:
            devices: full names of a process' devices; those that are no GPUs are left out.
            read: tells the `peak` of `GPU:0`, for example, in bytes.
            reset: makes the present use of such a device its peak.
        """
        self._gpus = [gpu for device in devices if (gpu := _short_name(device)).startswith("GPU")]
        self._read, self._reset = read, reset

    def take_peak(self) -> int:
        """The highest peak of all GPUs since the last call, in bytes; 0 where there is none."""
        peaks = [0]
        for gpu in self._gpus:
            try:
                peaks.append(self._read(gpu)["peak"])
                self._reset(gpu)
            except ValueError:  # This GPU's allocator keeps no statistics.
                continue
        return max(peaks)


def _short_name(device: str) -> str:
    spec = tf.DeviceSpec.from_string(device)
    return f"{spec.device_type}:{spec.device_index}"
