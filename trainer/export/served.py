"""A SavedModel that takes the bytes of image files and only needs TensorFlow."""

import pathlib
from collections.abc import Callable
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from cxr_command.largest_image import MOST_PIXELS
from trainer.data.radiographs import decode_radiograph, pixels_claimed
from trainer.evaluation.training_features import LEAST, TrainingFeatures
from trainer.explain.methods import GradCAM
from trainer.export.literal_path import literal_path
from trainer.models.taps import Taps

# Total over a batch: files of a few bytes can claim sizes that would keep a server busy for
# minutes. This many pixels are decoded in seconds, and are more than a thousand published
# radiographs.
MOST_PIXELS_OF_BATCH = 4 * MOST_PIXELS
_BYTES = tf.TensorSpec([None], tf.string, name="image_bytes")


class ServedModel(tf.Module):
    """A self-contained classifier, from encoded images to class names.

    Its three functions take a batch of strings, each the bytes of a PNG or JPEG file of any size
    and mode, and return tensors whose first dimension is the batch, as TensorFlow Serving requires.
    """

    def __init__(
        self,
        model: keras.Model,
        class_names: tuple[str, ...],
        fitted: TrainingFeatures | None = None,
    ) -> None:
        """Wraps a model.

        Args:
            model: a flat model of `trainer.models.build`, in float32.
            class_names: names of the classes in the order of the model's outputs.
            fitted: its training features; None if unknown.
        """
        super().__init__()
        # Stores the variables instead of the Keras model: a SavedModel with layers requires Keras
        # code.
        self.weights = [variable.value for variable in model.variables]
        self._image_shape = model.input_shape[1:]
        self._model, self._class_names = _Untracked(model), class_names
        self._features = _Untracked(keras.Model(model.input, Taps(model).features))
        self._gradcam = _Untracked(GradCAM(model))
        self._distance = _Distance(fitted) if fitted else None

    @tf.function(input_signature=[_BYTES])
    def classify(self, image_bytes: tf.Tensor) -> dict[str, tf.Tensor]:
        """Returns `probabilities`, `class_names` (`[batch, classes]`) and `predicted_class`."""
        return self._answer(
            image_bytes, lambda images: self._named(self._model.it(images, training=False))
        )

    @tf.function(input_signature=[_BYTES])
    def explain(self, image_bytes: tf.Tensor) -> dict[str, tf.Tensor]:
        """Also returns `heatmap` `[batch, h, w] float32`: Grad-CAM of the predicted class.

        If the training features are known, also returns `distance` `[batch] float32`, the distance
        to them relative to the threshold, and `unusual` `[batch] bool`, whether it is above 1.
        """

        def predict(images: tf.Tensor) -> dict[str, tf.Tensor]:
            predicted = tf.fill([tf.shape(images)[0]], tf.constant(-1, tf.int64))
            heatmaps, probabilities = self._gradcam.it.explain(images, predicted)
            answer = {**self._named(probabilities), "heatmap": heatmaps}
            if self._distance:
                features = self._features.it(images, training=False)
                distance = self._distance(features)
                answer |= {"distance": tf.cast(distance, tf.float32), "unusual": distance > 1}
            return answer

        return self._answer(image_bytes, predict)

    @tf.function(input_signature=[_BYTES])
    def features(self, image_bytes: tf.Tensor) -> dict[str, tf.Tensor]:
        """Returns `features` `[batch, units] float32`, the input of the last layer."""
        return self._answer(
            image_bytes, lambda images: {"features": self._features.it(images, training=False)}
        )

    def _answer(
        self, image_bytes: tf.Tensor, predict: Callable[[tf.Tensor], dict[str, tf.Tensor]]
    ) -> dict[str, tf.Tensor]:
        size = tf.size(image_bytes)
        blank_and_images = self._decode(_of_few_pixels(image_bytes))
        # Convolutions reject an empty batch: a blank image is added, and its output is removed.
        outputs = predict(blank_and_images[tf.minimum(size, 1) :])
        return {name: tensor[:size] for name, tensor in outputs.items()}

    def _decode(self, image_bytes: tf.Tensor) -> tf.Tensor:
        """Decodes to `[1 + batch, H, W, 1] uint8`, with a blank image first.

        Fails with the position of the first undecodable image.
        """

        def decode(position: tf.Tensor, encoded: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
            return position, decode_radiograph(encoded, self._image_shape)

        # In a dataset a bad image can be skipped; elsewhere it would fail the whole batch with an
        # error that does not identify the image.
        batch = tf.data.Dataset.from_tensor_slices(image_bytes).enumerate()
        decoded = batch.map(decode).ignore_errors()
        blank = (tf.constant([-1], tf.int64), tf.zeros([1, *self._image_shape], tf.uint8))
        padded = tf.data.Dataset.from_tensor_slices(blank).concatenate(decoded)
        positions, images = padded.batch(tf.size(image_bytes, tf.int64) + 1).get_single_element()
        wanted = tf.range(-1, tf.size(image_bytes, tf.int64))
        readable = tf.reduce_any(wanted[:, None] == positions[None, :], axis=1)
        message = tf.strings.format(
            "image_bytes at position {} of the batch are not a readable PNG or JPEG image of at "
            f"most {MOST_PIXELS} pixels",
            tf.argmin(tf.cast(readable, tf.int32)) - 1,
        )
        with tf.control_dependencies([tf.debugging.Assert(tf.reduce_all(readable), [message])]):
            return tf.identity(images)

    def _named(self, probabilities: tf.Tensor) -> dict[str, tf.Tensor]:
        names = tf.constant(self._class_names)
        return {
            "probabilities": probabilities,
            "class_names": tf.tile(names[None], [tf.shape(probabilities)[0], 1]),
            "predicted_class": tf.gather(names, tf.argmax(probabilities, axis=1)),
        }


def _of_few_pixels(image_bytes: tf.Tensor) -> tf.Tensor:
    """Returns the bytes unchanged; fails if their headers claim too many pixels in total."""
    images = tf.data.Dataset.from_tensor_slices(image_bytes)
    # Bytes without such a header, or that claim too many pixels alone, are reported later by
    # position.
    claimed = images.map(pixels_claimed).ignore_errors()
    pixels = claimed.reduce(tf.constant(0, tf.int64), tf.add)
    message = tf.strings.format(
        f"the images of the batch have {{}} pixels together, at most {MOST_PIXELS_OF_BATCH} are "
        "decoded at once: send fewer",
        pixels,
    )
    with tf.control_dependencies([tf.debugging.Assert(pixels <= MOST_PIXELS_OF_BATCH, [message])]):
        return tf.identity(image_bytes)


class _Distance(tf.Module):
    """`TrainingFeatures.distance` in TensorFlow, also in float64."""

    def __init__(self, fitted: TrainingFeatures) -> None:
        super().__init__()
        self.whitening, self.centres = (
            tf.Variable(array, trainable=False) for array in (fitted.whitening, fitted.centres)
        )
        self._threshold = fitted.threshold

    def __call__(self, features: tf.Tensor) -> tf.Tensor:
        features = tf.cast(features, tf.float64)
        unit = features / tf.maximum(tf.norm(features, axis=1, keepdims=True), LEAST)
        offsets = (unit @ self.whitening)[:, None] - self.centres[None]
        return tf.reduce_min(tf.norm(offsets, axis=2), axis=1) / self._threshold


class _Untracked:
    """Holds objects that a tf.Module should not save: variables are saved once, as `weights`."""

    def __init__(self, it: Any) -> None:
        self.it = it


def write_served(
    model: keras.Model,
    path: pathlib.Path,
    class_names: tuple[str, ...],
    fitted: TrainingFeatures | None = None,
) -> None:
    """Writes a SavedModel with the three signatures.

    Args:
        model: a flat model of `trainer.models.build`, in float32.
        path: the directory to write to.
        class_names: names of the classes in the order of the model's outputs.
        fitted: its training features; None if unknown.
    """
    served = ServedModel(model, class_names, fitted)
    signatures = {
        "serving_default": served.classify,
        "explain": served.explain,
        "features": served.features,
    }
    with literal_path(path) as literal:
        tf.saved_model.save(served, literal, signatures)


def predict_served(directory: pathlib.Path, images: np.ndarray) -> np.ndarray:
    """Predicts `[batch, H, W, 1] uint8` with the SavedModel; returns `[batch, classes] float32`."""
    with literal_path(directory) as literal:
        loaded = tf.saved_model.load(literal)
    encoded = tf.constant([tf.io.encode_png(image).numpy() for image in images])
    return loaded.signatures["serving_default"](image_bytes=encoded)["probabilities"].numpy()
