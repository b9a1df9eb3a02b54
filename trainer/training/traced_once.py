"""A function of tensors that is traced once and called by all replicas.

A `tf.function` called inside `strategy.run` is traced once per replica. A concrete function that
was created beforehand and captures no variables can be called by all of them.
"""

from collections.abc import Callable, Sequence
from typing import Any

import tensorflow as tf

# If inlined, one copy per replica would be optimised together with the surrounding loop, which
# takes minutes for DenseNet-169 on eight replicas.
NOT_INLINED = {"_noinline": True}


class TracedOnce:
    """A pure function of tensors, shared by the replicas."""

    def __init__(
        self, function: Callable[..., Any], *, jit_compile: bool, device: str | None = None
    ) -> None:
        """Stores the function; traces nothing.

        Args:
            function: takes and returns nested tensors; must not read or write variables.
            jit_compile: whether XLA compiles the function.
            device: device to run on; None: the device of the calling replica.
        """
        self._function = tf.function(
            function, jit_compile=jit_compile, experimental_attributes=NOT_INLINED
        )
        self._device = device
        self._concrete: Any = None

    def trace(self, *arguments: Any) -> list[tf.TensorSpec]:
        """Traces the function for arguments of these shapes and dtypes, unless already done.

        Call it outside of any graph, before a replica calls the function.

        Args:
            *arguments: nested `TensorSpec`s of one replica.

        Returns:
            The specs of the function's results, flattened.

        Raises:
            ValueError: the function reads a variable.
        """
        self._concrete = self._function.get_concrete_function(*arguments)
        if any(tensor.dtype == tf.resource for tensor in self._concrete.captured_inputs):
            raise ValueError("a function that replicas share must not capture variables")
        return [tf.TensorSpec.from_tensor(output) for output in self._concrete.outputs]

    @property
    def concrete(self) -> tf.types.experimental.ConcreteFunction:
        """Returns the last trace."""
        return self._concrete

    def __call__(self, *arguments: Any) -> Any:
        """Calls the last trace; not retraced inside `strategy.run`."""
        if self._device is None:
            return self._concrete(*arguments)
        with tf.device(self._device):
            results = self._concrete(*arguments)
        return tf.nest.map_structure(tf.identity, results)  # Back to the replica's device.


def shared_device(devices: Sequence[str]) -> str | None:
    """Returns the device on which replicas run a function that they share.

    Args:
        devices: devices of the replicas. Virtual devices share one processor, for which TensorFlow
            need not instantiate or compile a function more than once.

    Returns:
        The common device, or None: each replica uses its own.
    """
    return "/cpu:0" if "CPU" in devices[0].upper() else None


def specs_of_replica(iterator: tf.distribute.DistributedIterator) -> dict[str, tf.TensorSpec]:
    """Returns the specs of one replica's part of a distributed dataset of dictionaries."""
    return {
        name: tf.nest.flatten(spec, expand_composites=True)[0]
        for name, spec in iterator.element_spec.items()
    }


def replica_index(replicas_here: int) -> int:
    """Returns the index of the current replica within this process. Called in replica context.

    Args:
        replicas_here: number of replicas of this process.
    """
    index = tf.distribute.get_replica_context().replica_id_in_sync_group
    return int(tf.get_static_value(index)) % replicas_here
