"""The probabilities of one model, or the mean of several, for all that it is evaluated on."""

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

# Radiographs that go through a network at once.
BATCH = 32


@dataclasses.dataclass(frozen=True)
class Predictions:
    """A model's probabilities, `[examples, classes]` each.

    Attributes:
        name: of the model in the report.
        probabilities: of the examples that it is evaluated on.
        validation: of the validation split; None if there is none.
        blanked: of the examples with a mask, for each view of `shortcuts.blanked`; empty without
            masks.
        features: `[examples, features] float32`, what enters the last layer; None of an ensemble.
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
        name: of the model in the report.
        model: a saved model.
        examples: what it is evaluated on.
        validation: what temperature and threshold are chosen on.
        flip: whether to average with the predictions for the flipped images.

    Returns:
        Its predictions.
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
        name: of the ensemble in the report.
        members: predictions for the same examples.

    Returns:
        Its predictions.
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
    """Makes a function that runs the model, traced once however often it is called.

    Args:
        model: takes `[batch, H, W, C] uint8`, gives `[batch, classes]` probabilities.
        flip: whether to average with the predictions for the images flipped left to right.

    Returns:
        From `[examples, H, W, C] uint8` to `[examples, classes] float64`, whose rows sum to 1; it
        raises `UserError` if the model gives something else than finite numbers.
    """
    outputs = _batched(model, [model.output], flip=flip)
    return lambda images: outputs(images)[0]


def predictor_with_features(
    model: keras.Model, *, flip: bool
) -> Callable[[np.ndarray], list[np.ndarray]]:
    """As `predictor`, of a network of `trainer.models.build`.

    Returns:
        From images to the probabilities and `[examples, features] float32`, what enters the last
        layer for the images as they are.
    """
    return _batched(model, [model.output, Taps(model).features], flip=flip)


def _batched(
    model: keras.Model, outputs: list[keras.KerasTensor], *, flip: bool
) -> Callable[[np.ndarray], list[np.ndarray]]:
    """Runs a model in batches up to some of its tensors, the probabilities first."""
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
        # A softmax in float32 sums to 1 within 1e-7 only.
        return [probabilities / probabilities.sum(axis=1, keepdims=True), *others]

    return outputs_of


def prediction_table(
    ids: np.ndarray,
    labels: np.ndarray,
    probabilities: np.ndarray,
    class_names: tuple[str, ...],
) -> list[list[str | float]]:
    """The rows of predictions.csv: the header, then id, label, predicted, probabilities.

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
        ids: as of `prediction_table`, like what follows.
        labels: `[examples] int`.
        probabilities: `[examples, classes] float`.
        class_names: names of the classes.
    """
    path.write_bytes(csv_file.encode(prediction_table(ids, labels, probabilities, class_names)))
