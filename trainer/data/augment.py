"""Augmentation of training batches: random draws on the host, transformations on the device.

Every draw is a pure function of (seed, epoch, example), so an example is augmented identically in a
given epoch regardless of its batch, replica or worker. Gray values are changed before the network
scales them, so that their range is known: 0 to 255.
"""

import dataclasses

import numpy as np
import tensorflow as tf

from trainer.settings import section, setting

# Number of uniform draws per example for each purpose. Append new purposes, so that the draws of
# the others do not change.
_DRAWS_TAKEN = {
    "flip": 1,
    "rotation": 1,
    "shift": 2,
    "zoom": 1,
    "brightness": 1,
    "contrast": 1,
    "erasing": 5,
    "dropout": 1,
    "map_dropout": 1,
}
NUM_DRAWS = sum(_DRAWS_TAKEN.values())

# Area of an erased rectangle relative to the image, and its ratio of height to width.
_ERASED_AREA, _ERASED_ASPECT = (0.02, 0.2), (0.5, 2.0)

# Increment and finalizer of the generator SplitMix64 (Steele, Lea, Flood 2014, "Fast splittable
# pseudorandom number generators"): integer arithmetic on whole batches.
_GOLDEN_GAMMA = np.uint64(0x9E3779B97F4A7C15)
_SCRAMBLING = (
    (np.uint64(30), np.uint64(0xBF58476D1CE4E5B9)),
    (np.uint64(27), np.uint64(0x94D049BB133111EB)),
    (np.uint64(31), np.uint64(1)),
)


@section("Augmentation", in_recipes=True)
@dataclasses.dataclass(frozen=True)
class Augmentation:
    """Strength of the augmentation; the defaults leave images unchanged.

    Attributes:
        flip: whether half of the images are mirrored left to right.
        rotation: largest angle, degrees.
        shift: largest shift in each direction, as a share of the side.
        zoom: largest relative change of the size.
        brightness: largest change of the gray values, as a share of 255.
        contrast: largest relative change of the gray values' distance to their mean.
        erasing: probability of covering a rectangle with a random gray.
    """

    flip: bool = setting(False, "Randomly flip training images left to right.")
    rotation: float = setting(
        0.0, "Maximum rotation of training images, in degrees.", within=(0, 181)
    )
    shift: float = setting(0.0, "Maximum shift, as a fraction of the side.", within=(0, 1))
    zoom: float = setting(0.0, "Maximum zoom, as a fraction of the size.", within=(0, 1))
    brightness: float = setting(
        0.0, "Maximum brightness change, as a fraction of 255.", within=(0, 1)
    )
    contrast: float = setting(0.0, "Maximum relative change of contrast.", within=(0, 1))
    erasing: float = setting(0.0, "Probability of random erasing.", within=(0, 1))


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
    seeds = scramble(tf.constant(seed, tf.uint64)) + tf.cast(epoch, tf.uint64)
    return streams(scramble(seeds) ^ names, NUM_DRAWS)


def streams(seeds: tf.Tensor, length: int) -> tf.Tensor:
    """Generates a stream of uniform numbers for each seed.

    Args:
        seeds: `[batch] uint64`.
        length: numbers per stream.

    Returns:
        `[batch, length] float32` in [0, 1).
    """
    counters = np.arange(1, length + 1, dtype=np.uint64) * _GOLDEN_GAMMA
    bits = scramble(scramble(seeds)[:, None] + counters)
    # The upper 24 bits, which float32 represents exactly in [0, 1).
    return tf.cast(tf.bitwise.right_shift(bits, np.uint64(40)), tf.float32) / 2**24


def scramble(bits: tf.Tensor) -> tf.Tensor:
    """Mixes 64 bits with a bijective function."""
    for shift, factor in _SCRAMBLING:
        bits = (bits ^ tf.bitwise.right_shift(bits, shift)) * factor
    return bits


def draws_for(purpose: str, draws: tf.Tensor) -> tf.Tensor:
    """Returns the draws allocated to a purpose.

    Args:
        purpose: name of a setting of `Augmentation`, or of a layer that drops features.
        draws: `[batch, NUM_DRAWS] float32`.

    Returns:
        `[batch]`, or `[batch, n]` if the purpose uses n draws.
    """
    names = list(_DRAWS_TAKEN)
    first = sum(_DRAWS_TAKEN[name] for name in names[: names.index(purpose)])
    taken = _DRAWS_TAKEN[purpose]
    return draws[:, first] if taken == 1 else draws[:, first : first + taken]


def is_flipped(draws: tf.Tensor) -> tf.Tensor:
    """Returns which images are mirrored: those whose draw is below 0.5, half on average.

    Args:
        draws: `[batch, NUM_DRAWS] float32` in [0, 1).

    Returns:
        `[batch] bool`.
    """
    return draws_for("flip", draws) < 0.5


# Always compiled, even if the rest of the step is not: XLA fuses the warp's gathers, which makes
# them three times faster on a CPU, and all devices and modes compute the same pixels.
@tf.function(jit_compile=True)
def augment(images: tf.Tensor, draws: tf.Tensor, augmentation: Augmentation) -> tf.Tensor:
    """Applies random augmentation to images.

    Args:
        images: `[batch, height, width, channels] uint8`, of static shape.
        draws: `[batch, NUM_DRAWS] float32` in [0, 1).
        augmentation: strength of each transformation.

    Returns:
        The images, same shape and dtype.
    """
    chosen = augmentation
    if chosen.flip:
        images = horizontal_flip(images, is_flipped(draws))
    if chosen == Augmentation(flip=chosen.flip):
        return images
    pixels = tf.cast(images, tf.float32)
    if chosen.rotation or chosen.shift or chosen.zoom:
        pixels = warp(
            images,
            degrees=_around_zero(draws_for("rotation", draws), chosen.rotation),
            shifts=_around_zero(draws_for("shift", draws), chosen.shift),
            zooms=1 + _around_zero(draws_for("zoom", draws), chosen.zoom),
        )
    if chosen.brightness or chosen.contrast:
        pixels = change_tone(
            pixels,
            brightness=255 * _around_zero(draws_for("brightness", draws), chosen.brightness),
            contrast=1 + _around_zero(draws_for("contrast", draws), chosen.contrast),
        )
    if chosen.erasing:
        pixels = erase(pixels, draws_for("erasing", draws), chosen.erasing)
    return tf.cast(tf.round(tf.clip_by_value(pixels, 0, 255)), tf.uint8)


def horizontal_flip(images: tf.Tensor, flipped: tf.Tensor) -> tf.Tensor:
    """Mirrors some images left to right.

    Args:
        images: `[batch, height, width, channels]`, any dtype.
        flipped: `[batch] bool`, which images to mirror.

    Returns:
        The images, same shape and dtype.
    """
    return tf.where(flipped[:, None, None, None], tf.reverse(images, axis=[2]), images)


def warp(
    images: tf.Tensor, *, degrees: tf.Tensor, shifts: tf.Tensor, zooms: tf.Tensor
) -> tf.Tensor:
    """Rotates and zooms images about their centre, then shifts them, in one bilinear sampling.

    Positions outside the image take the nearest border pixel.

    Args:
        images: `[batch, height, width, channels] uint8`.
        degrees: `[batch] float32`, counterclockwise.
        shifts: `[batch, 2] float32`, down and to the right, as shares of height and width.
        zooms: `[batch] float32`, factors of the size.

    Returns:
        `[batch, height, width, channels] float32`.
    """
    batch, height, width, channels = images.shape
    rows, columns = _source_positions(height, width, degrees, shifts, zooms)
    top, left = tf.floor(rows), tf.floor(columns)
    down, right = (rows - top)[..., None], (columns - left)[..., None]
    # Each pixel is stored with its three neighbours, so that one gather fetches all four.
    padded = tf.concat([images, images[:, -1:]], axis=1)
    padded = tf.concat([padded, padded[:, :, -1:]], axis=2)
    neighbours = tf.stack(
        [padded[:, y : y + height, x : x + width] for y in (0, 1) for x in (0, 1)], axis=3
    )
    fetched = tf.gather(
        tf.reshape(neighbours, [batch, height * width, 4, channels]),
        tf.cast(top * width + left, tf.int32),
        batch_dims=1,
    )
    above_left, above_right, below_left, below_right = tf.unstack(
        tf.cast(fetched, tf.float32), axis=3
    )
    above = above_left + right * (above_right - above_left)
    below = below_left + right * (below_right - below_left)
    return above + down * (below - above)


def _source_positions(
    height: int, width: int, degrees: tf.Tensor, shifts: tf.Tensor, zooms: tf.Tensor
) -> tuple[tf.Tensor, tf.Tensor]:
    """Returns the source row and column of each output pixel, each `[batch, height, width]`."""
    radians = degrees * (3.141592653589793 / 180)
    cosine, sine = (tf.cos(radians) / zooms, tf.sin(radians) / zooms)
    cosine, sine = cosine[:, None, None], sine[:, None, None]
    middle_row, middle_column = (height - 1) / 2, (width - 1) / 2
    rows = tf.range(height, dtype=tf.float32)[:, None] - middle_row
    columns = tf.range(width, dtype=tf.float32) - middle_column
    rows = rows - height * shifts[:, 0, None, None]
    columns = columns - width * shifts[:, 1, None, None]
    source_rows = cosine * rows + sine * columns + middle_row
    source_columns = cosine * columns - sine * rows + middle_column
    return (
        tf.clip_by_value(source_rows, 0, height - 1),
        tf.clip_by_value(source_columns, 0, width - 1),
    )


def change_tone(pixels: tf.Tensor, *, brightness: tf.Tensor, contrast: tf.Tensor) -> tf.Tensor:
    """Scales gray values about the image's mean and adds an offset; results may leave [0, 255].

    Args:
        pixels: `[batch, height, width, channels] float32`.
        brightness: `[batch] float32`, gray values to add.
        contrast: `[batch] float32`, factors.

    Returns:
        `[batch, height, width, channels] float32`.
    """
    mean = tf.reduce_mean(pixels, axis=[1, 2, 3], keepdims=True)
    factor, added = contrast[:, None, None, None], brightness[:, None, None, None]
    return mean + factor * (pixels - mean) + added


def erase(pixels: tf.Tensor, draws: tf.Tensor, probability: float) -> tf.Tensor:
    """Covers a rectangle of some images (Zhong et al. 2020, "Random Erasing Data Augmentation").

    The upper left corner may lie anywhere, so the rectangle is clipped at the right and lower
    border.

    Args:
        pixels: `[batch, height, width, channels] float32`.
        draws: `[batch, 5] float32` in [0, 1): whether to erase, area, aspect ratio, row and column;
            the first also determines the gray value.
        probability: probability of erasing, per image.

    Returns:
        `[batch, height, width, channels] float32`.
    """
    height, width = pixels.shape[1:3]
    whether, area, aspect, row, column = (draws[:, index, None, None] for index in range(5))
    area = _ERASED_AREA[0] + area * (_ERASED_AREA[1] - _ERASED_AREA[0])
    least, most = _ERASED_ASPECT
    aspect = least * tf.pow(most / least, aspect)
    rows = (tf.range(height, dtype=tf.float32)[:, None] + 0.5) / height
    columns = (tf.range(width, dtype=tf.float32) + 0.5) / width
    inside = (rows >= row) & (rows < row + tf.sqrt(area * aspect))
    inside &= (columns >= column) & (columns < column + tf.sqrt(area / aspect))
    inside &= whether < probability
    gray = 255 * whether / probability
    return tf.where(inside[..., None], gray[..., None], pixels)


def _around_zero(draws: tf.Tensor, largest: float) -> tf.Tensor:
    """Maps draws from [0, 1) to [-largest, largest)."""
    return largest * (2 * draws - 1)
