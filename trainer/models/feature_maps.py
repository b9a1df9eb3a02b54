"""The maximum number of images per GPU, limited by the size of feature maps."""

import math

import keras

from trainer.errors import UserError

# TensorFlow's GPU kernels index arrays with 32 bits; an overflow ends the process with "an illegal
# memory access was encountered".
_MOST_VALUES = 2**31 - 1


def most_images(model: keras.Model) -> int:
    """Returns the maximum number of images whose largest feature map has a 32-bit index."""
    outputs = (output for layer in model.layers for output in keras.tree.flatten(layer.output))
    return _MOST_VALUES // max(math.prod(output.shape[1:]) for output in outputs)


def require_indexable(model: keras.Model, images: int) -> None:
    """Checks that the feature maps of a batch can be indexed on GPUs.

    Args:
        model: the network, or its trained part.
        images: images that a replica computes at once; in validation its whole batch.

    Raises:
        UserError: a feature map would have too many elements.
    """
    most = most_images(model)
    if images > most:
        raise UserError(
            f"--global_batch_size: a replica would compute {images} images at a time, and "
            f"TensorFlow's GPU kernels can index the feature maps of {most}; lower it"
        )
