"""What the steps of a training compute, however they are computed."""

import dataclasses

import keras

from trainer.data.augment import Augmentation
from trainer.training.objective import Objective


@dataclasses.dataclass(frozen=True)
class Computation:
    """What is minimised, on which inputs, and how weights follow from gradients.

    Attributes:
        optimizer: a Keras optimizer, not built; every replica takes a copy.
        objective: the losses.
        start: the tensor of the model that batches hold, as `features`, the values of: the features
            of a frozen backbone, for example; None: the model's input, held as `image`.
        augmentation: how training images are changed by their draws; None leaves them.
        clip_norm: the largest global norm of the reduced gradients; None clips nothing.
    """

    optimizer: keras.optimizers.Optimizer
    objective: Objective
    start: keras.KerasTensor | None = None
    augmentation: Augmentation | None = None
    clip_norm: float | None = None
