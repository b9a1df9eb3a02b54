"""BatchNormalization as a single TensorFlow operation, where Keras 3 uses about a dozen.

Without XLA, each of these operations reads and writes a whole feature map. A network is trained
with the fused layers and saved with Keras' own; the weights are the same, in the same order.
"""

import keras
import tensorflow as tf

# Dtypes of the feature map; scale, offset and statistics are float32.
_DTYPES = ("float32", "bfloat16", "float16")


class FusedBatchNormalization(keras.layers.BatchNormalization):
    """Keras' layer for `[batch, H, W, C]` with `FusedBatchNormV3` as its training step."""

    def call(
        self, inputs: tf.Tensor, training: bool | None = None, mask: tf.Tensor | None = None
    ) -> tf.Tensor:
        """Normalizes like Keras' layer, and updates the moving statistics in training."""
        if not (training and self.trainable):
            return super().call(inputs, training=training, mask=mask)
        outputs, mean, variance, *_ = tf.raw_ops.FusedBatchNormV3(
            x=inputs,
            scale=tf.convert_to_tensor(self.gamma),
            offset=tf.convert_to_tensor(self.beta),
            mean=tf.zeros([0]),
            variance=tf.zeros([0]),
            epsilon=self.epsilon,
            is_training=True,
        )
        self._move(self.moving_mean, mean)
        self._move(self.moving_variance, variance * _biased(tf.size(inputs[..., 0])))
        return outputs

    def _move(self, statistic: keras.Variable, value: tf.Tensor) -> None:
        statistic.assign(statistic * self.momentum + value * (1.0 - self.momentum))


def fuse_normalization(model: keras.Model) -> keras.Model:
    """Returns the network with fused layers, for training.

    Args:
        model: a model from `trainer.models.build`.

    Returns:
        A model with the same weights in the same order; the model itself if no layer can be fused.
    """
    if not any(map(_can_be_fused, model.layers)):
        return model

    def clone(layer: keras.layers.Layer) -> keras.layers.Layer:
        made = FusedBatchNormalization if _can_be_fused(layer) else type(layer)
        return made.from_config(layer.get_config())

    fused = keras.models.clone_model(model, clone_function=clone)
    fused.set_weights(model.get_weights())
    return fused


def _can_be_fused(layer: keras.layers.Layer) -> bool:
    return (
        type(layer) is keras.layers.BatchNormalization
        and layer.scale
        and layer.center
        and not layer.renorm
        and len(layer.output.shape) == 4
        and layer.axis in (-1, 3)
        and layer.compute_dtype in _DTYPES
    )


def _biased(count: tf.Tensor) -> tf.Tensor:
    """Converts TensorFlow's unbiased variance of `count` values to Keras' biased one."""
    values = tf.cast(count, tf.float32)
    return tf.maximum(values - 1.0, 1.0) / values
