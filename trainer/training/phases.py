"""The phases of a training: all layers at once, or the head first and then upper blocks."""

import dataclasses
import math

import keras

from trainer.errors import UserError
from trainer.models.architecture import BACKBONE, Architecture
from trainer.models.backbones import backbone_layers
from trainer.settings import section, setting
from trainer.training.optimizer import Optimization


@dataclasses.dataclass(frozen=True)
class Phase:
    """A number of epochs with one set of trained weights and one learning-rate schedule.

    Attributes:
        name: `all`, `head` or `fine_tune`.
        epochs: maximum number of epochs.
        learning_rate: the highest learning rate of the phase.
        trained_from: prefix of the backbone's first trained layer; "": the whole backbone, None: no
            backbone layer.
        normalization_frozen: whether the backbone's BatchNormalization stays in inference mode.
    """

    name: str
    epochs: int
    learning_rate: float
    trained_from: str | None
    normalization_frozen: bool


@section("Phases", in_recipes=True)
@dataclasses.dataclass(frozen=True)
class Phases:
    """Settings of the length of training and of the layers trained in each phase.

    Attributes:
        epochs: maximum number of epochs, over all phases.
        patience: epochs without a better validation loss after which a phase ends; 0: no early
            stopping.
        head_epochs: epochs of a first phase that only trains the head; 0: a single phase.
        fine_tune_learning_rate: the highest learning rate of the second phase.
        unfreeze_from: name, or prefix of the name, of the first trained layer of the backbone;
            empty: the whole backbone.
    """

    epochs: int = setting(20, "Most epochs.", within=(1, math.inf))
    patience: int = setting(
        0, "Early stopping: epochs without a better validation loss; 0: off.", within=(0, math.inf)
    )
    head_epochs: int = setting(
        0, "Epochs that train only the head.", within=(0, math.inf),
        only_for=BACKBONE,
    )  # fmt: skip
    fine_tune_learning_rate: float = setting(
        1e-5, "Learning rate after head_epochs.", is_positive=True
    )
    unfreeze_from: str = setting("", "First trainable layer or block of the backbone.")


def plan(chosen: Phases, optimization: Optimization, network: Architecture) -> tuple[Phase, ...]:
    """Returns the phases of a run, in order.

    Args:
        chosen: the settings.
        optimization: provides the learning rate of the first phase.
        network: determines whether a single phase also trains the backbone.
    """
    learning_rate = optimization.learning_rate
    if not chosen.head_epochs:
        trained_from = chosen.unfreeze_from if network.train_backbone else None
        return (Phase("all", chosen.epochs, learning_rate, trained_from, False),)
    fine_tuned = chosen.epochs - chosen.head_epochs
    return (
        Phase("head", chosen.head_epochs, learning_rate, None, True),
        Phase("fine_tune", fine_tuned, chosen.fine_tune_learning_rate, chosen.unfreeze_from, True),
    )


def prepare(model: keras.Model, phase: Phase) -> None:
    """Sets the trainable layers of a phase; the head is always trainable.

    Args:
        model: a model from `trainer.models.build`.
        phase: a phase from `plan`.

    Raises:
        UserError: no layer of the backbone has the name at which the phase starts.
    """
    layers = backbone_layers(model)
    first = _first_trained(layers, phase)
    for index, layer in enumerate(layers):
        is_normalization = isinstance(layer, keras.layers.BatchNormalization)
        layer.trainable = index >= first and not (is_normalization and phase.normalization_frozen)


def _first_trained(layers: list[keras.layers.Layer], phase: Phase) -> int:
    if phase.trained_from is None or not layers:
        return len(layers)
    for index, layer in enumerate(layers):
        if layer.name.startswith(phase.trained_from):
            return index
    blocks = dict.fromkeys("_".join(layer.name.split("_")[:2]) for layer in layers)
    raise UserError(
        f"--unfreeze_from={phase.trained_from}: the backbone has no layer of that name; its "
        f"layers begin with {', '.join(blocks)}"
    )
