import numpy as np
import scipy.stats
import tensorflow as tf

from trainer.data import augment


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
    flipped = augment.horizontal_flip(tf.constant(images), tf.constant(chances))
    assert flipped.dtype == tf.uint8
    np.testing.assert_array_equal(flipped[:3], np.flip(images[:3], axis=2))
    np.testing.assert_array_equal(flipped[3:], images[3:])
