"""How many images a GPU takes at a time, by the size of a network's feature maps."""

import math

import keras

from trainer.errors import UserError

# TensorFlow's GPU kernels count the values of an array in 32 bits, and end the process with
# "an illegal memory access was encountered" where that overflows.
_MOST_VALUES = 2**31 - 1


def most_images(model: keras.Model) -> int:
    """The most images whose largest feature map can still be indexed in 32 bits."""
    outputs = (output for layer in model.layers for output in keras.tree.flatten(layer.output))
    return _MOST_VALUES // max(math.prod(output.shape[1:]) for output in outputs)


def require_indexable(model: keras.Model, images: int) -> None:
    """Checks that GPUs can take a batch.

    Args:
        model: the network, or the part of it that is trained.
        images: that a replica computes at a time; validation takes its whole batch.

    Raises:
        UserError: a feature map would have too many values.
    """
    most = most_images(model)
    if images > most:
        raise UserError(
            f"--global_batch_size: a replica would compute {images} images at a time, and "
            f"TensorFlow's GPU kernels can index the feature maps of {most}; lower it"
        )
