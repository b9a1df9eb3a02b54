"""The GPUs of this machine, to be dealt to processes that it starts."""

import tensorflow as tf

from trainer.errors import UserError


def require_gpus(indices: set[int], flag: str) -> None:
    """Checks that there are the GPUs that processes are to be given.

    A process that is given one that is not there trains on the CPU, or waits for the others.

    Args:
        indices: of the GPUs.
        flag: the flag that asks for them, with its value, for the error's text.

    Raises:
        UserError: one of them is missing.
    """
    found = len(tf.config.list_physical_devices("GPU"))
    if missing := sorted(indices - set(range(found))):
        there_are = f"the GPUs 0 to {found - 1} alone" if found else "none: omit the flag"
        raise UserError(f"{flag} asks for GPU {missing[0]}, but this machine has {there_are}")
