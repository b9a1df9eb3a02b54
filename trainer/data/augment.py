"""Augmentation of training batches: draws made on the host, transformations run on the device.

Every draw is a pure function of (seed, epoch, example), so an example looks the same in a given
epoch whatever the batch, the replica or the worker it falls to.
"""

import numpy as np
import tensorflow as tf

# Uniform draws per example. One: the horizontal flip.
NUM_DRAWS = 1

# Increment and finalizer of the generator SplitMix64 (Steele, Lea, Flood 2014, "Fast splittable
# pseudorandom number generators"): integer arithmetic on whole batches.
_GOLDEN_GAMMA = np.uint64(0x9E3779B97F4A7C15)
_SCRAMBLING = (
    (np.uint64(30), np.uint64(0xBF58476D1CE4E5B9)),
    (np.uint64(27), np.uint64(0x94D049BB133111EB)),
    (np.uint64(31), np.uint64(1)),
)


def uniform_draws(ids: tf.Tensor, seed: int, epoch: tf.Tensor) -> tf.Tensor:
    """Draws uniform numbers for each example by hashing its id (FarmHash64), seed and epoch.

    Args:
        ids: `[batch] string`, the examples' ids.
        seed: the run's seed.
        epoch: scalar or `[batch]` integer.

    Returns:
        `[batch, NUM_DRAWS] float32` in [0, 1).
    """
    names = tf.cast(tf.strings.to_hash_bucket_fast(ids, tf.int64.max), tf.uint64)
    seeds = _scramble(tf.constant(seed, tf.uint64)) + tf.cast(epoch, tf.uint64)
    states = _scramble(_scramble(seeds) ^ names)
    counters = np.arange(1, NUM_DRAWS + 1, dtype=np.uint64) * _GOLDEN_GAMMA
    bits = _scramble(states[:, None] + counters)
    # The upper 24 bits: what float32 can hold exactly in [0, 1).
    return tf.cast(tf.bitwise.right_shift(bits, np.uint64(40)), tf.float32) / 2**24


def _scramble(bits: tf.Tensor) -> tf.Tensor:
    """Maps 64 bits to 64 bits, one to one."""
    for shift, factor in _SCRAMBLING:
        bits = (bits ^ tf.bitwise.right_shift(bits, shift)) * factor
    return bits


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
