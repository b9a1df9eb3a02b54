"""The GPUs of this machine, for assignment to child processes."""

import tensorflow as tf

from trainer.errors import UserError


def require_gpus(indices: set[int], flag: str) -> None:
    """Checks that the GPUs to assign to processes exist.

    A process assigned to a missing GPU would train on the CPU, or wait for the others.

    Args:
        indices: indices of the GPUs.
        flag: the flag that requests them, with its value, for the error message.

    Raises:
        UserError: a GPU is missing.
    """
    found = len(tf.config.list_physical_devices("GPU"))
    if missing := sorted(indices - set(range(found))):
        there_are = f"the GPUs 0 to {found - 1} alone" if found else "none: omit the flag"
        raise UserError(f"{flag} asks for GPU {missing[0]}, but this machine has {there_are}")
