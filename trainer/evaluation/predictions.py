"""The probabilities of one model, or the mean of several, for an evaluation."""

import dataclasses
import pathlib
from collections.abc import Callable, Sequence

import keras
import numpy as np
import tensorflow as tf

from cxr_command import csv_file
from trainer.data.examples import Examples
from trainer.errors import UserError
from trainer.evaluation.shortcuts import blanked
from trainer.models.taps import Taps

# Radiographs per batch.
BATCH = 32


@dataclasses.dataclass(frozen=True)
class Predictions:
    """A model's probabilities, `[examples, classes]` each.

    Attributes:
        name: name of the model in the report.
        probabilities: probabilities of the evaluated examples.
        validation: probabilities of the validation split; None if there is none.
        blanked: probabilities of the examples with a mask, for each view of `shortcuts.blanked`;
            empty without masks.
        features: `[examples, features] float32`, the inputs of the last layer; None for an
            ensemble.
    """

    name: str
    probabilities: np.ndarray
    validation: np.ndarray | None
    blanked: dict[str, np.ndarray]
    features: np.ndarray | None = None


def predict(
    name: str, model: keras.Model, examples: Examples, validation: Examples | None, *, flip: bool
) -> Predictions:
    """Predicts every example once.

    Args:
        name: name of the model in the report.
        model: a saved model.
        examples: the examples to evaluate.
        validation: the examples used to fit temperature and thresholds.
        flip: whether to average with the predictions for the flipped images.

    Returns:
        The predictions of the model.
    """
    outputs = predictor_with_features(model, flip=flip)
    probabilities, features = outputs(examples.images)
    views = {}
    if examples.masks is not None:
        views = blanked(examples.images[examples.masked], examples.masks)
    return Predictions(
        name=name,
        probabilities=probabilities,
        validation=None if validation is None else outputs(validation.images)[0],
        blanked={view: outputs(images)[0] for view, images in views.items()},
        features=features,
    )


def ensemble(name: str, members: Sequence[Predictions]) -> Predictions:
    """Averages the probabilities of several models.

    Args:
        name: name of the ensemble in the report.
        members: predictions for the same examples.

    Returns:
        The predictions of the ensemble.
    """
    first = members[0]
    return Predictions(
        name=name,
        probabilities=np.mean([member.probabilities for member in members], axis=0),
        validation=(
            None
            if first.validation is None
            else np.mean([member.validation for member in members], axis=0)
        ),
        blanked={
            view: np.mean([member.blanked[view] for member in members], axis=0)
            for view in first.blanked
        },
    )


def predictor(model: keras.Model, *, flip: bool) -> Callable[[np.ndarray], np.ndarray]:
    """Returns a function that runs the model and is traced only once.

    Args:
        model: maps `[batch, H, W, C] uint8` to `[batch, classes]` probabilities.
        flip: whether to average with the predictions for the images flipped left to right.

    Returns:
        A function from `[examples, H, W, C] uint8` to `[examples, classes] float64`, whose rows sum
        to 1. It raises `UserError` if the model's outputs are not finite.
    """
    outputs = _batched(model, [model.output], flip=flip)
    return lambda images: outputs(images)[0]


def predictor_with_features(
    model: keras.Model, *, flip: bool
) -> Callable[[np.ndarray], list[np.ndarray]]:
    """Like `predictor`, for a network of `trainer.models.build`, but also returns features.

    Returns:
        A function from images to the probabilities and the inputs of the last layer,
        `[examples, features] float32`, for the unflipped images.
    """
    return _batched(model, [model.output, Taps(model).features], flip=flip)


def _batched(
    model: keras.Model, outputs: list[keras.KerasTensor], *, flip: bool
) -> Callable[[np.ndarray], list[np.ndarray]]:
    """Returns a function that computes tensors of a model in batches, probabilities first."""
    part = keras.Model(model.input, outputs)

    @tf.function(input_signature=[tf.TensorSpec(model.input_shape, tf.uint8)])
    def forward(images: tf.Tensor) -> list[tf.Tensor]:
        probabilities, *others = keras.tree.flatten(part(images, training=False))
        if not flip:
            return [probabilities, *others]
        return [(probabilities + model(tf.reverse(images, [2]), training=False)) / 2, *others]

    def outputs_of(images: np.ndarray) -> list[np.ndarray]:
        starts = range(0, len(images), BATCH)
        batches = [forward(images[start : start + BATCH]) for start in starts]
        found, *others = [np.concatenate(parts) for parts in zip(*batches, strict=True)]
        probabilities = found.astype(np.float64)
        if not np.isfinite(probabilities).all():
            raise UserError("the model gives probabilities that are no numbers; train it again")
        # A float32 softmax only sums to 1 within 1e-7.
        return [probabilities / probabilities.sum(axis=1, keepdims=True), *others]

    return outputs_of


def prediction_table(
    ids: np.ndarray,
    labels: np.ndarray,
    probabilities: np.ndarray,
    class_names: tuple[str, ...],
) -> list[list[str | float]]:
    """Returns the rows of predictions.csv: a header, then id, label, predicted, probabilities.

    Args:
        ids: `[examples] str`.
        labels: `[examples] int`.
        probabilities: `[examples, classes] float`.
        class_names: names of the classes.
    """
    header: list[str | float] = ["id", "label", "predicted", *class_names]
    rows = [
        [str(example), class_names[label], class_names[shares.argmax()], *map(float, shares)]
        for example, label, shares in zip(ids, labels, probabilities, strict=True)
    ]
    return [header, *rows]


def write_predictions(
    path: pathlib.Path,
    ids: np.ndarray,
    labels: np.ndarray,
    probabilities: np.ndarray,
    class_names: tuple[str, ...],
) -> None:
    """Writes predictions.csv, the probabilities in full precision.

    Args:
        path: the file.
        ids: as for `prediction_table`.
        labels: `[examples] int`.
        probabilities: `[examples, classes] float`.
        class_names: names of the classes.
    """
    path.write_bytes(csv_file.encode(prediction_table(ids, labels, probabilities, class_names)))
