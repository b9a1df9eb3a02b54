"""Grad-CAM: where in the last feature maps the evidence for a class lies."""

import keras
import numpy as np
import tensorflow as tf


class GradCAM:
    """Grad-CAM (Selvaraju et al. 2017) of one model, built once and used on many batches.

    Attributes:
        layer_name: the layer whose feature maps are weighed.
    """

    def __init__(self, model: keras.Model) -> None:
        """Splits the model at the last layer that keeps the plane of the image.

        Args:
            model: a flat model of `trainer.models.build`, in float32.
        """
        layer = last_plane_layer(model)
        self.layer_name = layer.name
        self._features = keras.Model(model.input, layer.output)
        # Two models, so that gradients are taken from the feature maps on, which works with frozen
        # weights too: from a uint8 input to frozen layers a tape would record nothing.
        self._head = keras.Model(layer.output, model.get_layer("logits").output)
        self._explain = tf.function(self._explain, reduce_retracing=True)

    def __call__(self, images: np.ndarray, targets: np.ndarray | None) -> tuple:
        """Explains a batch.

        Args:
            images: `[batch, H, W, C] uint8`.
            targets: `[batch] int`, the class to explain of each image; None explains the predicted.

        Returns:
            Heatmaps `[batch, h, w] float32`, not negative, of the feature maps' size, and
            probabilities `[batch, classes] float32`.
        """
        if targets is None:
            targets = [-1] * len(images)
        heatmaps, probabilities = self._explain(images, tf.constant(targets, tf.int64))
        return heatmaps.numpy(), probabilities.numpy()

    def _explain(self, images: tf.Tensor, targets: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        features = self._features(images, training=False)
        with tf.GradientTape() as tape:
            tape.watch(features)
            logits = self._head(features, training=False)
            targets = tf.where(targets < 0, tf.argmax(logits, axis=1), targets)
            evidence = tf.gather(logits, targets, batch_dims=1)
        gradients = tape.gradient(evidence, features)
        channel_weights = tf.reduce_mean(gradients, axis=[1, 2], keepdims=True)
        heatmaps = tf.nn.relu(tf.reduce_sum(channel_weights * features, axis=-1))
        return heatmaps, tf.nn.softmax(logits)


def last_plane_layer(model: keras.Model) -> keras.layers.Layer:
    """The last layer with feature maps `[batch, h, w, channels]` that is not a pooling layer."""
    pooling = (keras.layers.AveragePooling2D, keras.layers.MaxPooling2D)
    candidates = [
        layer
        for layer in model.layers
        if len(layer.output.shape) == 4 and not isinstance(layer, pooling)
    ]
    return candidates[-1]
