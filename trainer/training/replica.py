"""The state of a replica on its device: weights and optimizer as vectors, and their update.

Each replica has an ordinary Keras optimizer over two private variables, so XLA can compile its
update regardless of the number of replicas. All replicas receive the same reduced gradients and
therefore hold the same weights.
"""

from collections.abc import Callable

import keras
import numpy as np
import tensorflow as tf

from trainer.training.loss_scale import DynamicLossScale
from trainer.training.step import Step
from trainer.training.traced_once import NOT_INLINED
from trainer.training.vectors import Vectors

# Positions in the vector that an update returns for a step: whether a stop was requested (0 if
# not), the number of losses or gradients that are not finite, and the gradients' norm before
# clipping.
STOP_ASKED, NOT_FINITE, NORM = range(3)
NUM_OUTCOMES = 3


class Replica:
    """The state of one replica, all of it on its device."""

    def __init__(
        self,
        device: str,
        values: Vectors,
        optimizer: keras.optimizers.Optimizer,
        loss_scale: DynamicLossScale | None,
    ) -> None:
        """Creates the variables. Call it outside of the strategy's scope.

        Args:
            device: name of the device.
            values: the model's weights.
            optimizer: optimizer to copy; the copy has its own slots.
            loss_scale: the loss scale for float16; None: no loss scaling.
        """
        self.device, self._loss_scale = device, loss_scale
        dtype = values.decayed.dtype.name
        with tf.device(device):
            self._decayed, self._undecayed = (
                keras.Variable(value, dtype=dtype, name=name)
                for name, value in zip(("decayed", "undecayed"), values[:2], strict=True)
            )
            self._statistics = tf.Variable(values.statistics, name="statistics")
            self._frozen = tf.Variable(values.frozen, trainable=False, name="frozen")
            self.optimizer = type(optimizer).from_config(optimizer.get_config())
            self.optimizer.exclude_from_weight_decay(var_list=[self._undecayed])
            self.optimizer.build([self._decayed, self._undecayed])
            initial = loss_scale.initial if loss_scale else 1.0
            self._scale = tf.Variable(initial, dtype=tf.float32, name="loss_scale")
            self._finite_steps = tf.Variable(0, dtype=tf.int64, name="finite_steps")

    def vectors(self, *, averaged: bool = False) -> Vectors:
        """Returns the weights, or the moving average of the trained ones if requested and kept."""
        variables = Vectors(
            self._decayed.value, self._undecayed.value, self._statistics, self._frozen
        )
        vectors = variables.map(lambda variable: variable.read_value())
        if not (averaged and self.optimizer.use_ema):
            return vectors
        # Keras' average is 0 until the first step has been applied.
        has_average = self.optimizer.iterations.value > 0
        decayed, undecayed = (
            tf.where(has_average, average.value.read_value(), weights)
            for average, weights in zip(
                self.optimizer._model_variables_moving_average, vectors[:2], strict=True
            )
        )
        return vectors._replace(decayed=decayed, undecayed=undecayed)

    def set_vectors(self, values: Vectors) -> None:
        """Sets the weights."""
        targets = Vectors(self._decayed, self._undecayed, self._statistics, self._frozen)
        for variable, value in zip(targets, values, strict=True):
            variable.assign(value)

    def loss_scale(self) -> tf.Tensor:
        """Returns the loss scale, a float32 scalar; 1 without loss scaling."""
        return self._scale.read_value()

    def state(self) -> dict[str, tf.Variable]:
        """Returns the state to checkpoint, by name, including the frozen weights."""
        slots = {variable.name: variable.value for variable in self.optimizer.variables}
        return {
            "weights/decayed": self._decayed.value,
            "weights/undecayed": self._undecayed.value,
            "weights/statistics": self._statistics,
            "weights/frozen": self._frozen,
            "loss_scale/scale": self._scale,
            "loss_scale/finite_steps": self._finite_steps,
        } | {f"optimizer/{name}": variable for name, variable in slots.items()}

    def load(self, values: dict[str, np.ndarray]) -> None:
        """Restores a state saved by any replica."""
        for name, variable in self.state().items():
            variable.assign(values[name])

    def update_function(
        self, step: Step, replicas: int, clip_norm: float | None, *, jit_compile: bool
    ) -> tf.types.experimental.PolymorphicFunction:
        """Creates the update function of this replica, to be traced.

        Args:
            step: the step that produces the sums.
            replicas: number of replicas summed over.
            clip_norm: largest global norm of the mean gradient; None: no clipping.
            jit_compile: whether XLA compiles the update.

        Returns:
            A function from the reduced vectors to the step's outcome, `[NUM_OUTCOMES] float32`.
        """

        def update(reduced: list[tf.Tensor]) -> tf.Tensor:
            signals, statistics, gradients = step.split_reduced(reduced)
            norm = tf.norm(gradients) / signals.weight
            factor = 1.0 / signals.weight
            if clip_norm:
                factor *= tf.minimum(tf.ones_like(norm), clip_norm / norm)
            # An inf or NaN on any replica survives the sum and shows in the norm.
            is_finite = tf.math.is_finite(norm)

            def apply() -> None:
                parts = tf.split(gradients * factor, self._trained_sizes())
                # In cross-replica context, Keras does not sum the gradients again, over this
                # replica alone: that sum would keep this graph alive, see `sum_over_replicas`.
                context = tf.distribute.get_replica_context()
                context.merge_call(lambda _: self.optimizer.apply(parts))
                # Averaging is valid, as moving statistics are linear in the replicas' batch
                # statistics.
                self._statistics.assign(statistics / replicas)

            self._apply_if(is_finite, apply, compiled=jit_compile)
            # With loss scaling, a lower scale may make the next step finite.
            is_lost = ~is_finite & (self._scale <= 1.0)
            self._rescale(is_finite)
            not_finite = signals.not_finite + tf.cast(is_lost, norm.dtype)
            return tf.cast(tf.stack([signals.stop_asked, not_finite, norm]), tf.float32)

        return tf.function(
            update,
            jit_compile=jit_compile,
            autograph=False,
            experimental_attributes=NOT_INLINED,
        )

    def _trained_sizes(self) -> list[int]:
        return [self._decayed.shape[0], self._undecayed.shape[0]]

    def _apply_if(self, is_finite: tf.Tensor, apply: Callable[[], None], *, compiled: bool) -> None:
        """Applies a step whose gradients are finite; otherwise changes nothing."""
        if not compiled:
            # A select would copy every vector: XLA fuses it with the update, TensorFlow does not.
            tf.cond(is_finite, apply, lambda: None)
            return
        variables = [self._decayed.value, self._undecayed.value, self._statistics]
        variables += [variable.value for variable in self.optimizer.variables]
        before = [variable.read_value() for variable in variables]
        apply()
        for variable, value in zip(variables, before, strict=True):
            variable.assign(tf.where(is_finite, variable.read_value(), value))

    def _rescale(self, is_finite: tf.Tensor) -> None:
        if self._loss_scale:
            scale, finite_steps = self._loss_scale.next(self._scale, self._finite_steps, is_finite)
            self._scale.assign(scale)
            self._finite_steps.assign(finite_steps)
