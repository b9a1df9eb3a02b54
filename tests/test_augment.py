import numpy as np
import pytest
import scipy.ndimage
import scipy.stats
import tensorflow as tf

from trainer.data import augment
from trainer.data.augment import Augmentation


def ids(count):
    return np.array([f"COVID-{number}" for number in range(count)])


def draws(names, seed=0, epoch=0):
    return augment.uniform_draws(tf.constant(names), seed, tf.constant(epoch, tf.int64)).numpy()


def test_draws_are_uniform_between_0_and_1():
    drawn = draws(ids(5000))
    assert drawn.shape == (5000, augment.NUM_DRAWS)
    assert drawn.dtype == np.float32
    assert drawn.min() >= 0
    assert drawn.max() < 1
    for column in drawn.T:
        assert scipy.stats.kstest(column, "uniform").pvalue > 1e-3


def test_an_example_draws_the_same_in_whatever_batch_it_falls():
    names = ids(64)
    together = draws(names)
    order = np.random.default_rng(0).permutation(64)
    np.testing.assert_array_equal(draws(names[order]), together[order])
    np.testing.assert_array_equal(draws(names[7:8]), together[7:8])


def test_one_epoch_for_all_or_one_for_each_example_is_the_same():
    mixed = augment.uniform_draws(tf.constant(ids(6)), 0, tf.constant([0, 1, 2, 0, 1, 2]))
    for row, epoch in enumerate([0, 1, 2, 0, 1, 2]):
        np.testing.assert_array_equal(mixed[row], draws(ids(6)[row : row + 1], epoch=epoch)[0])


def test_another_seed_or_epoch_draws_independently():
    names = ids(5000)
    first = draws(names, seed=1, epoch=2)[:, 0]
    for other in (draws(names, seed=2, epoch=2), draws(names, seed=1, epoch=3)):
        assert abs(np.corrcoef(first, other[:, 0])[0, 1]) < 0.06  # 4 standard deviations.


def test_seed_and_epoch_are_not_mistaken_for_each_other():
    assert (draws(ids(100), seed=1, epoch=2) != draws(ids(100), seed=2, epoch=1)).mean() > 0.9


def test_images_whose_draw_is_below_one_half_are_mirrored_left_to_right():
    images = np.random.default_rng(0).integers(0, 256, (6, 5, 4, 3), dtype=np.uint8)
    chances = np.array([0.0, 0.25, 0.49999997, 0.5, 0.75, 0.9999999], np.float32)
    drawn = np.zeros((6, augment.NUM_DRAWS), np.float32)
    drawn[:, 0] = chances
    flipped = augment.augment(tf.constant(images), tf.constant(drawn), Augmentation(flip=True))
    assert flipped.dtype == tf.uint8
    np.testing.assert_array_equal(flipped[:3], np.flip(images[:3], axis=2))
    np.testing.assert_array_equal(flipped[3:], images[3:])


def radiographs(count=4, height=40, width=30):
    rng = np.random.default_rng(0)
    return rng.integers(0, 256, (count, height, width, 1), dtype=np.uint8)


def rotation(degrees):
    """Turns (row, column) vectors counterclockwise on the screen, where rows go down."""
    turn = np.deg2rad(degrees)
    return np.array([[np.cos(turn), -np.sin(turn)], [np.sin(turn), np.cos(turn)]])


@pytest.mark.parametrize(
    ("degrees", "shift", "zoom"),
    [(0, (0, 0), 1), (20, (0, 0), 1), (0, (0.1, -0.2), 1), (0, (0, 0), 0.7), (-9, (0.1, 0.2), 1.3)],
)
def test_a_warp_is_scipys_affine_transformation(degrees, shift, zoom):
    images = radiographs()
    ours = augment.warp(
        tf.constant(images),
        degrees=tf.fill([4], float(degrees)),
        shifts=tf.constant([shift] * 4, tf.float32),
        zooms=tf.fill([4], float(zoom)),
    )
    # scipy asks where a pixel comes from: the inverse, about the centre.
    inverse = np.linalg.inv(zoom * rotation(degrees))
    sides = np.array(images.shape[1:3])
    centre = (sides - 1) / 2
    offset = centre - inverse @ (centre + shift * sides)
    for image, warped in zip(images[..., 0].astype(float), ours.numpy()[..., 0], strict=True):
        expected = scipy.ndimage.affine_transform(image, inverse, offset, order=1, mode="nearest")
        np.testing.assert_allclose(warped, expected, atol=0.02)


def test_a_positive_angle_turns_counterclockwise():
    image = np.zeros((1, 31, 31, 1), np.uint8)
    image[0, 15, 25:] = 255  # Three o'clock ...
    turned = augment.warp(
        tf.constant(image), degrees=tf.constant([90.0]), shifts=tf.zeros([1, 2]), zooms=tf.ones([1])
    )
    rows, columns = np.nonzero(turned.numpy()[0, ..., 0] > 127)
    assert set(columns) == {15} and rows.max() < 15  # ... becomes twelve.


def test_tone_is_stretched_about_the_mean_and_moved():
    pixels = radiographs().astype(np.float32)
    brightness, contrast = np.array([0, 9, -20, 0]), np.array([1, 1, 1.3, 0.5])
    ours = augment.change_tone(
        tf.constant(pixels),
        brightness=tf.constant(brightness, tf.float32),
        contrast=tf.constant(contrast, tf.float32),
    )
    for row in range(4):
        mean = pixels[row].mean()
        expected = (pixels[row] - mean) * contrast[row] + mean + brightness[row]
        np.testing.assert_allclose(ours[row], expected, rtol=1e-4, atol=1e-2)


def test_a_share_of_images_gets_one_rectangle_of_one_gray():
    names, pixels = ids(2000), np.full((2000, 32, 32, 1), -1, np.float32)
    erased = augment.erase(tf.constant(pixels), draws(names)[:, 7:12], 0.25).numpy()[..., 0]
    changed = (erased != -1).reshape(2000, -1).any(axis=1)
    assert 0.21 < changed.mean() < 0.29
    areas = []
    for image in erased[changed]:
        rows, columns = np.nonzero(image != -1)
        inside = image[rows.min() : rows.max() + 1, columns.min() : columns.max() + 1]
        assert np.unique(inside).size == 1 and 0 <= inside[0, 0] <= 255
        areas.append(inside.size / image.size)
    assert max(areas) < 0.25


EVERYTHING = Augmentation(True, 15, 0.1, 0.2, 0.2, 0.3, 0.5)


def test_images_stay_uint8_and_an_example_looks_the_same_in_whatever_batch():
    images, drawn = radiographs(8), draws(ids(8))
    together = augment.augment(tf.constant(images), drawn, EVERYTHING)
    halves = [
        augment.augment(tf.constant(images[half]), drawn[half], EVERYTHING)
        for half in (slice(4), slice(4, 8))
    ]
    assert together.dtype == tf.uint8
    np.testing.assert_array_equal(together, tf.concat(halves, axis=0))
    assert (together.numpy() != images).mean() > 0.5


def test_compiled_by_xla_or_not_images_differ_by_rounding_alone():
    images, drawn = tf.constant(radiographs(8)), tf.constant(draws(ids(8)))
    compiled = augment.augment(images, drawn, EVERYTHING).numpy().astype(int)
    plain = augment.augment.python_function(images, drawn, EVERYTHING).numpy()
    assert np.abs(compiled - plain).max() <= 1
    assert (compiled != plain).mean() < 0.01


def test_no_augmentation_changes_nothing_and_a_flip_alone_no_gray_value():
    images, drawn = radiographs(8), draws(ids(8))
    np.testing.assert_array_equal(augment.augment(images, drawn, Augmentation()), images)
    flipped = augment.augment(images, drawn, Augmentation(flip=True))
    np.testing.assert_array_equal(flipped, augment.horizontal_flip(images, drawn[:, 0] < 0.5))


def test_gray_values_are_cut_off_at_black_and_white():
    images, drawn = np.full((64, 8, 8, 1), 250, np.uint8), draws(ids(64))
    grays = augment.augment(images, drawn, Augmentation(brightness=0.5)).numpy()[:, 0, 0, 0]
    assert grays.max() == 255 and grays.min() > 250 - 128
    expected = np.minimum(np.round(250 + 127.5 * (2 * drawn[:, 5] - 1)), 255)
    np.testing.assert_allclose(grays, expected, atol=1)
