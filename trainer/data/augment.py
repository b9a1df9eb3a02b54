"""Augmentation of training batches: draws made on the host, transformations run on the device.

Every draw is a pure function of (seed, epoch, example), so an example looks the same in a given
epoch whatever the batch, the replica or the worker it falls to.
"""

import tensorflow as tf

# Uniform draws per example. One: the horizontal flip.
NUM_DRAWS = 1

# 2**24 values are what float32 can hold exactly in [0, 1).
_RESOLUTION = 2**24


def uniform_draws(ids: tf.Tensor, seed: int, epoch: tf.Tensor) -> tf.Tensor:
    """Draws uniform numbers for each example by hashing its id (FarmHash64) with seed and epoch.

    Args:
        ids: `[batch] string`, the examples' ids.
        seed: the run's seed.
        epoch: scalar or `[batch]` integer.

    Returns:
        `[batch, NUM_DRAWS] float32` in [0, 1).
    """
    epochs = tf.broadcast_to(tf.strings.as_string(epoch), tf.shape(ids))
    columns = [
        tf.strings.to_hash_bucket_fast(
            tf.strings.join([f"{seed}/{draw}", epochs, ids], separator="/"), _RESOLUTION
        )
        for draw in range(NUM_DRAWS)
    ]
    return tf.cast(tf.stack(columns, axis=1), tf.float32) / _RESOLUTION


def is_flipped(draws: tf.Tensor) -> tf.Tensor:
    """Which images are mirrored: the half whose draw is below 0.5.

    Args:
        draws: `[batch] float32` in [0, 1).

    Returns:
        `[batch] bool`.
    """
    return draws < 0.5


def horizontal_flip(images: tf.Tensor, draws: tf.Tensor) -> tf.Tensor:
    """Mirrors left and right the images that their draws say.

    Args:
        images: `[batch, height, width, channels]`, any dtype.
        draws: `[batch] float32` in [0, 1).

    Returns:
        The images, same shape and dtype.
    """
    return tf.where(is_flipped(draws)[:, None, None, None], tf.reverse(images, axis=[2]), images)
