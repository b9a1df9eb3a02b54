"""What the steps of a training compute, independent of their execution."""

import dataclasses

import keras

from trainer.data.augment import Augmentation
from trainer.training.objective import Objective


@dataclasses.dataclass(frozen=True)
class Computation:
    """The objective, its inputs, and the update of the weights.

    Attributes:
        optimizer: an unbuilt Keras optimizer, which is copied for every replica.
        objective: the losses.
        start: the tensor of the model that is fed with the batches' `features`, such as the output
            of a frozen backbone; None: the model's input, fed with `image`.
        augmentation: augmentation of training images; None: no augmentation.
        clip_norm: the largest global norm of the reduced gradients; None: no clipping.
    """

    optimizer: keras.optimizers.Optimizer
    objective: Objective
    start: keras.KerasTensor | None = None
    augmentation: Augmentation | None = None
    clip_norm: float | None = None
