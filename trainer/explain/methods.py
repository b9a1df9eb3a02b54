"""CAM methods: each class computes heatmaps of the evidence for a class from feature maps.

A method turns feature maps and the gradients of a logit into a heatmap. Logits are explained
instead of probabilities, as the gradients of a saturated softmax vanish. A heatmap of all zeros
means that nothing at this layer supports the class.
"""

import math

import keras
import numpy as np
import tensorflow as tf

from trainer.explain.layers import plane_layer
from trainer.models.taps import Taps

# Number of ablated copies of an image's feature maps per forward pass of the head.
_ABLATED_AT_ONCE = 32


class Method:
    """One method for one model, built once and used on many batches.

    Attributes:
        layer_name: name of the layer whose feature maps are weighted.
        caution: a warning for readers of the heatmaps; empty if there is none.
    """

    # Whether a channel has the same weight at all positions.
    _one_weight_a_channel = False

    def __init__(self, model: keras.Model, layer: str | None = None) -> None:
        """Splits the model at a layer.

        Args:
            model: a flat model of `trainer.models.build`, in float32, as saved by a run regardless
                of its training precision.
            layer: name of one of its `plane_layers`; None: the last one.

        Raises:
            UserError: the layer does not exist.
        """
        at = plane_layer(model, layer)
        self.layer_name = at.name
        self._features = keras.Model(model.input, at.output)
        # Two models, so that gradients start at the feature maps. This also works with frozen
        # weights, for which a tape records nothing from a uint8 input.
        self._head = keras.Model(at.output, Taps(model).logits)
        # One trace for all batch sizes: for the deep networks, tracing takes most of the time.
        signature = [tf.TensorSpec(model.input_shape, tf.uint8), tf.TensorSpec([None], tf.int64)]
        self._compiled = tf.function(self.explain, input_signature=signature)
        self.caution = self._caution(model.name)

    def __call__(
        self, images: np.ndarray, targets: np.ndarray | None = None
    ) -> tuple[np.ndarray, np.ndarray]:
        """Explains a batch in a compiled function.

        Args:
            images: `[batch, H, W, C] uint8`.
            targets: `[batch] int`, the class to explain for each image; None: the predicted class.

        Returns:
            Heatmaps `[batch, h, w] float32`, non-negative, in the size of the feature maps, and
            probabilities `[batch, classes] float32`.
        """
        if targets is None:
            targets = np.full(len(images), -1)
        heatmaps, probabilities = self._compiled(images, tf.constant(targets, tf.int64))
        return heatmaps.numpy(), probabilities.numpy()

    def explain(self, images: tf.Tensor, targets: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        """Explains a batch as part of a larger graph.

        Args:
            images: `[batch, H, W, C] uint8`.
            targets: `[batch] int64`; -1: the predicted class.

        Returns:
            As `__call__`.
        """
        features = self._features(images, training=False)
        with tf.GradientTape() as tape:
            tape.watch(features)
            logits = self._head(features, training=False)
            targets = tf.where(targets < 0, tf.argmax(logits, axis=1), targets)
            evidence = tf.gather(logits, targets, batch_dims=1)
        gradients = tape.gradient(evidence, features)
        heatmaps = tf.nn.relu(self._weigh(features, gradients, targets))
        return heatmaps, tf.nn.softmax(logits)

    def _caution(self, network: str) -> str:
        """Warns of what a spatial mean loses before a dense layer (Draelos & Carin 2020)."""
        flattened = any(isinstance(layer, keras.layers.Flatten) for layer in self._head.layers)
        if not (self._one_weight_a_channel and flattened):
            return ""
        return (
            f"This method uses one weight per channel for the whole image, but {network} has a "
            "dense layer that weights each position separately, so the heat may be in the wrong "
            "place. Compare with --method=hirescam, which weights each position."
        )

    def _weigh(self, features: tf.Tensor, gradients: tf.Tensor, targets: tf.Tensor) -> tf.Tensor:
        """Maps feature maps and gradients `[batch, h, w, channels]` to heatmaps `[batch, h, w]`."""
        raise NotImplementedError


class GradCAM(Method):
    """Grad-CAM (Selvaraju et al. 2017): channels weighted by their mean gradient."""

    _one_weight_a_channel = True

    def _weigh(self, features: tf.Tensor, gradients: tf.Tensor, targets: tf.Tensor) -> tf.Tensor:
        weights = tf.reduce_mean(gradients, axis=[1, 2], keepdims=True)
        return tf.reduce_sum(weights * features, axis=-1)


class GradCAMPlusPlus(Method):
    """Grad-CAM++ (Chattopadhay et al. 2018): weighted positive gradients.

    Rare evidence gets a larger weight. With the exponential of the logit as score, as in the paper,
    alpha is g^2 / (2 g^2 + sum(A) g^3), which is 1 / (2 + sum(A) g) if g is not 0. The score's own
    factor is constant over a heatmap and omitted.
    """

    _one_weight_a_channel = True

    def _weigh(self, features: tf.Tensor, gradients: tf.Tensor, targets: tf.Tensor) -> tf.Tensor:
        total = tf.reduce_sum(features, axis=[1, 2], keepdims=True)
        alpha = tf.math.divide_no_nan(1.0, 2.0 + total * gradients)
        weights = tf.reduce_sum(alpha * tf.nn.relu(gradients), axis=[1, 2], keepdims=True)
        return tf.reduce_sum(weights * features, axis=-1)


class HiResCAM(Method):
    """HiResCAM (Draelos & Carin 2020): element-wise product of gradients and features."""

    def _weigh(self, features: tf.Tensor, gradients: tf.Tensor, targets: tf.Tensor) -> tf.Tensor:
        return tf.reduce_sum(gradients * features, axis=-1)


class LayerCAM(Method):
    """LayerCAM (Jiang et al. 2021): element-wise product of positive gradients and features."""

    def _weigh(self, features: tf.Tensor, gradients: tf.Tensor, targets: tf.Tensor) -> tf.Tensor:
        return tf.reduce_sum(tf.nn.relu(gradients) * features, axis=-1)


class AblationCAM(Method):
    """Ablation-CAM (Desai & Ramaswamy 2020): channels weighted by the logit's drop without them.

    The method uses no gradients. The paper divides the drop by the logit; that factor is constant
    over a heatmap and omitted, as a negative logit would invert the evidence.
    """

    _one_weight_a_channel = True

    def _weigh(self, features: tf.Tensor, gradients: tf.Tensor, targets: tf.Tensor) -> tf.Tensor:
        def of_image(image: tuple[tf.Tensor, tf.Tensor]) -> tf.Tensor:
            return tf.linalg.matvec(image[0], self._losses(*image))

        return tf.map_fn(of_image, (features, targets), fn_output_signature=tf.float32)

    def _losses(self, maps: tf.Tensor, target: tf.Tensor) -> tf.Tensor:
        """Returns the drop in one image's logit without each channel, `[channels]`."""
        channels = maps.shape[-1]
        group = math.gcd(channels, _ABLATED_AT_ONCE)
        whole = self._head(maps[None], training=False)[0, target]

        def without(ablated: tf.Tensor) -> tf.Tensor:
            kept = 1 - tf.one_hot(ablated, channels)[:, None, None, :]
            return self._head(maps[None] * kept, training=False)[:, target]

        groups = tf.reshape(tf.range(channels), [-1, group])
        logits = tf.map_fn(without, groups, fn_output_signature=tf.float32)
        return whole - tf.reshape(logits, [-1])


METHODS = {
    "gradcam": GradCAM,
    "gradcam++": GradCAMPlusPlus,
    "hirescam": HiResCAM,
    "layercam": LayerCAM,
    "ablationcam": AblationCAM,
}
