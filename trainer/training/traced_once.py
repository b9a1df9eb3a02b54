"""A function of tensors that is traced once and called by all replicas.

A `tf.function` called inside `strategy.run` is traced for each replica. One concrete function, made
beforehand and without captured variables, can be called by all of them.
"""

from collections.abc import Callable, Sequence
from typing import Any

import tensorflow as tf

# Inlined, a copy for each replica would be optimised together with the loop around it, which takes
# minutes with DenseNet-169 on eight replicas.
NOT_INLINED = {"_noinline": True}


class TracedOnce:
    """A function of tensors alone, which replicas share."""

    def __init__(
        self, function: Callable[..., Any], *, jit_compile: bool, device: str | None = None
    ) -> None:
        """Traces nothing yet.

        Args:
            function: takes and returns nested tensors; reads and writes no variable.
            jit_compile: whether XLA compiles it.
            device: where it runs; None: on the device of the replica that calls it.
        """
        self._function = tf.function(
            function, jit_compile=jit_compile, experimental_attributes=NOT_INLINED
        )
        self._device = device
        self._concrete: Any = None

    def trace(self, *arguments: Any) -> list[tf.TensorSpec]:
        """Traces the function for arguments of these shapes and dtypes, unless that was done.

        Call it outside of any graph, before a replica calls the function.

        Args:
            *arguments: nested `TensorSpec`s, of one replica.

        Returns:
            What the function returns, flat.

        Raises:
            ValueError: the function reads a variable.
        """
        self._concrete = self._function.get_concrete_function(*arguments)
        if any(tensor.dtype == tf.resource for tensor in self._concrete.captured_inputs):
            raise ValueError("a function that replicas share must not capture variables")
        return [tf.TensorSpec.from_tensor(output) for output in self._concrete.outputs]

    @property
    def concrete(self) -> tf.types.experimental.ConcreteFunction:
        """What was traced last."""
        return self._concrete

    def __call__(self, *arguments: Any) -> Any:
        """Calls what was traced last. In `strategy.run` it is not traced again."""
        if self._device is None:
            return self._concrete(*arguments)
        with tf.device(self._device):
            results = self._concrete(*arguments)
        return tf.nest.map_structure(tf.identity, results)  # On the replica's device again.


def shared_device(devices: Sequence[str]) -> str | None:
    """Where replicas run a function that they share.

    Args:
        devices: of the replicas. Virtual devices are one processor, for which TensorFlow need not
            instantiate or compile a function more than once.

    Returns:
        A device for all of them, or None: each on its own.
    """
    return "/cpu:0" if "CPU" in devices[0].upper() else None


def specs_of_replica(iterator: tf.distribute.DistributedIterator) -> dict[str, tf.TensorSpec]:
    """What one replica gets of each batch of a distributed dataset of dictionaries."""
    return {
        name: tf.nest.flatten(spec, expand_composites=True)[0]
        for name, spec in iterator.element_spec.items()
    }


def replica_index(replicas_here: int) -> int:
    """Index of the replica that runs, among those of this process. Called in replica context.

    Args:
        replicas_here: number of replicas of this process.
    """
    index = tf.distribute.get_replica_context().replica_id_in_sync_group
    return int(tf.get_static_value(index)) % replicas_here
