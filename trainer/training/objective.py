"""The training objective: cross-entropy with optional label smoothing and class weights."""

import dataclasses
from collections.abc import Sequence

import keras
import numpy as np
import tensorflow as tf

from trainer.errors import UserError
from trainer.settings import section, setting


@section("Loss", in_recipes=True)
@dataclasses.dataclass(frozen=True)
class Loss:
    """Settings of the training objective.

    Attributes:
        label_smoothing: share of each label's mass that is spread evenly over all classes.
        class_weights: `none`, or `balanced`: in inverse proportion to the classes' frequencies.
    """

    label_smoothing: float = setting(0.0, "Label smoothing.", within=(0, 1))
    class_weights: str = setting("none", "Class weights of the loss.", choices=("none", "balanced"))


class Objective:
    """Computes the loss of each example in training and in evaluation."""

    def __init__(
        self,
        num_classes: int,
        *,
        label_smoothing: float = 0.0,
        class_weights: np.ndarray | None = None,
        dtype: str = "float32",
    ) -> None:
        """Initializes the losses.

        Args:
            num_classes: number of classes.
            label_smoothing: share of each label's mass that is spread evenly over all classes
                (Szegedy et al. 2016, "Rethinking the Inception Architecture", section 7).
            class_weights: `[num_classes]`, factor of each example's training loss by its class;
                None: all are 1.
            dtype: dtype of the logits.
        """
        self._num_classes, self._dtype = num_classes, dtype
        self._class_weights = class_weights
        self._smooth = keras.losses.CategoricalCrossentropy(
            from_logits=True, label_smoothing=label_smoothing, reduction=None, dtype=dtype
        )
        self._plain = keras.losses.SparseCategoricalCrossentropy(
            from_logits=True, reduction=None, dtype=dtype
        )
        self._is_plain = label_smoothing == 0.0

    def train_losses(self, labels: tf.Tensor, logits: tf.Tensor) -> tf.Tensor:
        """Returns the losses to minimise.

        Args:
            labels: `[batch] int64`, or soft labels `[batch, num_classes]`.
            logits: `[batch, num_classes]`.

        Returns:
            `[batch]`, in the dtype of the logits.
        """
        if self._is_plain and labels.shape.rank == 1:
            losses = self._plain(labels, logits)
        else:
            losses = self._smooth(self._shares(labels), logits)
        if self._class_weights is None:
            return losses
        weights = tf.constant(self._class_weights, self._dtype)
        return losses * tf.linalg.matvec(self._shares(labels), weights)

    def _shares(self, labels: tf.Tensor) -> tf.Tensor:
        if labels.shape.rank == 1:
            return tf.one_hot(labels, self._num_classes, dtype=self._dtype)
        return tf.cast(labels, self._dtype)

    def eval_losses(self, labels: tf.Tensor, logits: tf.Tensor) -> tf.Tensor:
        """Returns plain cross-entropy, comparable across settings; arguments as `train_losses`."""
        return self._plain(labels, logits)


def balanced_class_weights(counts: np.ndarray) -> np.ndarray:
    """Computes weights that give every class the same total weight.

    Args:
        counts: `[classes]`, the number of training examples of each class, all positive.

    Returns:
        `[classes] float64`: all examples / (number of classes * examples of the class), as for
        scikit-learn's `class_weight="balanced"`; their mean over the examples is 1.
    """
    return counts.sum() / (len(counts) * counts)


def require_all_classes(counts: np.ndarray, class_names: Sequence[str]) -> None:
    """Checks that balanced weights are defined.

    Args:
        counts: `[classes]`, the number of training examples of each class.
        class_names: their names.

    Raises:
        UserError: a class has no example; the message names it.
    """
    if absent := [class_names[int(label)] for label in np.flatnonzero(counts == 0)]:
        raise UserError(
            f"--class_weights=balanced: no training example of {', '.join(absent)}, whose "
            "weight would be infinite; add some, or omit the flag"
        )
