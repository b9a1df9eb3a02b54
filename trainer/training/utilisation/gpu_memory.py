"""Peak memory used by TensorFlow on any GPU."""

from collections.abc import Callable, Mapping, Sequence

import tensorflow as tf


class GpuMemory:
    """The peak memory of tensors since the last reading."""

    def __init__(
        self,
        devices: Sequence[str],
        read: Callable[[str], Mapping[str, int]] = tf.config.experimental.get_memory_info,
        reset: Callable[[str], None] = tf.config.experimental.reset_memory_stats,
    ) -> None:
        """Stores the names of the GPUs.

        Args:
            devices: full names of a process' devices; other devices than GPUs are ignored.
            read: returns a dictionary with the `peak` of a device such as `GPU:0`, in bytes.
            reset: resets the peak of such a device to its current use.
        """
        self._gpus = [gpu for device in devices if (gpu := _short_name(device)).startswith("GPU")]
        self._read, self._reset = read, reset

    def take_peak(self) -> int:
        """Returns the highest peak of all GPUs since the last call, in bytes; 0 without GPUs."""
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
