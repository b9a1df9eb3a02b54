"""What one model, or the mean of several, says of all that it is judged on."""

import dataclasses
from collections.abc import Sequence

import keras
import numpy as np

from trainer.data.cases import Cases
from trainer.evaluation.predictions import predictor
from trainer.evaluation.shortcuts import blanked


@dataclasses.dataclass(frozen=True)
class Answers:
    """A model's probabilities, `[cases, classes]` each.

    Attributes:
        name: of the model in the report.
        cases: of the cases that are judged.
        validation: of the validation split; None if there is none.
        blanked: of the cases with a mask, for each of `shortcuts.blanked`; empty without masks.
    """

    name: str
    cases: np.ndarray
    validation: np.ndarray | None
    blanked: dict[str, np.ndarray]


def ask(
    name: str, model: keras.Model, cases: Cases, validation: Cases | None, *, flip: bool
) -> Answers:
    """Asks a model.

    Args:
        name: of the model in the report.
        model: a saved model.
        cases: what is judged.
        validation: what temperature and threshold are chosen on.
        flip: whether to average with the answers to the flipped images.

    Returns:
        Its answers.
    """
    predict = predictor(model, flip=flip)
    views = {} if cases.masks is None else blanked(cases.images[cases.masked], cases.masks)
    return Answers(
        name=name,
        cases=predict(cases.images),
        validation=None if validation is None else predict(validation.images),
        blanked={view: predict(images) for view, images in views.items()},
    )


def average(name: str, models: Sequence[Answers]) -> Answers:
    """The ensemble that averages the models' probabilities.

    Args:
        name: of the ensemble in the report.
        models: answers to the same questions.

    Returns:
        Its answers.
    """
    first = models[0]
    return Answers(
        name=name,
        cases=np.mean([model.cases for model in models], axis=0),
        validation=(
            None
            if first.validation is None
            else np.mean([model.validation for model in models], axis=0)
        ),
        blanked={
            view: np.mean([model.blanked[view] for model in models], axis=0)
            for view in first.blanked
        },
    )
