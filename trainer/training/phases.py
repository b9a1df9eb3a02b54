"""The phases of a training: all at once, or the head first and then the backbone's upper blocks."""

import dataclasses

import keras

from trainer.config import Config
from trainer.errors import UserError
from trainer.models.backbones import backbone_layers


@dataclasses.dataclass(frozen=True)
class Phase:
    """A stretch of epochs with one set of trained weights and one learning-rate schedule.

    Attributes:
        name: `all`, `head` or `fine_tune`.
        epochs: at most so many epochs.
        learning_rate: the highest of the phase.
        trained_from: prefix of the backbone's first trained layer; "" trains all of the backbone,
            None nothing of it.
        normalization_frozen: whether the backbone's BatchNormalization stays in inference mode.
    """

    name: str
    epochs: int
    learning_rate: float
    trained_from: str | None
    normalization_frozen: bool


def plan(config: Config) -> tuple[Phase, ...]:
    """The phases of a run, in order."""
    if not config.head_epochs:
        trained_from = config.unfreeze_from if config.train_backbone else None
        return (Phase("all", config.epochs, config.learning_rate, trained_from, False),)
    fine_tuned = config.epochs - config.head_epochs
    return (
        Phase("head", config.head_epochs, config.learning_rate, None, True),
        Phase("fine_tune", fine_tuned, config.fine_tune_learning_rate, config.unfreeze_from, True),
    )


def prepare(model: keras.Model, phase: Phase) -> None:
    """Makes trainable what a phase trains. The head always is.

    Args:
        model: what `trainer.models.build` returned.
        phase: one of `plan`.

    Raises:
        UserError: no layer of the backbone has the name that the phase starts from.
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
