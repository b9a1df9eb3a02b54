"""Dynamic loss scaling for float16, decided once for all replicas.

Keras' LossScaleOptimizer checks replica 0's gradients before they are summed, so an overflow on
another replica reaches the weights. Here the reduced gradients are checked, as an inf survives
summation. The rule is that of Micikevicius et al. 2018, "Mixed Precision Training", section 3.2.
"""

import dataclasses

import tensorflow as tf


@dataclasses.dataclass(frozen=True)
class DynamicLossScale:
    """A loss scale that halves on overflow and doubles after a run of finite steps.

    Attributes:
        initial: first value of the scale.
        growth_interval: number of consecutive finite steps after which the scale doubles.
    """

    initial: float = 2.0**15
    growth_interval: int = 2000

    def next(
        self, scale: tf.Tensor, finite_steps: tf.Tensor, is_finite: tf.Tensor
    ) -> tuple[tf.Tensor, tf.Tensor]:
        """Returns the scale and the number of consecutive finite steps after a step.

        Args:
            scale: the current scale, a float32 scalar.
            finite_steps: consecutive finite steps since the scale changed, an int64 scalar.
            is_finite: whether the step's reduced gradients are finite, a bool scalar.

        Returns:
            The new values of both; the scale is never below 1.
        """
        grows = finite_steps + 1 >= self.growth_interval
        grown = tf.where(grows, scale * 2.0, scale)
        counted = tf.where(grows, tf.zeros_like(finite_steps), finite_steps + 1)
        halved = tf.maximum(scale / 2.0, 1.0)
        return (
            tf.where(is_finite, grown, halved),
            tf.where(is_finite, counted, tf.zeros_like(finite_steps)),
        )
