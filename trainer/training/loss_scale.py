"""Dynamic loss scaling for float16, decided once for all replicas.

Keras' LossScaleOptimizer looks at replica 0's gradients before they are summed, so an overflow on
another replica reaches the weights. Here the reduced gradients decide: an inf survives a sum.
The rule is that of Micikevicius et al. 2018, "Mixed Precision Training", section 3.2.
"""

import tensorflow as tf


class DynamicLossScale(tf.Module):
    """A loss scale that halves on overflow and doubles after a run of finite steps."""

    def __init__(self, initial: float = 2.0**15, growth_interval: int = 2000) -> None:
        """Creates the scale's state; call it inside the strategy's scope.

        Args:
            initial: first value of the scale.
            growth_interval: number of finite steps in a row after which the scale doubles.
        """
        super().__init__()
        self._growth_interval = growth_interval
        self.value = tf.Variable(initial, trainable=False, dtype=tf.float32, name="loss_scale")
        self.finite_steps = tf.Variable(0, trainable=False, dtype=tf.int64, name="finite_steps")

    def after_finite_step(self) -> None:
        """Counts a finite step, and doubles the scale at the end of each interval."""
        not_grown = self.finite_steps + 1 < self._growth_interval
        self.value.assign(tf.where(not_grown, self.value, self.value * 2.0))
        self.finite_steps.assign((self.finite_steps + 1) * tf.cast(not_grown, tf.int64))

    def after_overflow(self) -> None:
        """Halves the scale, but never below 1."""
        self.value.assign(tf.maximum(self.value / 2.0, 1.0))
        self.finite_steps.assign(0)
