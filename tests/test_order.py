import numpy as np
import pytest
import scipy.stats
import tensorflow as tf

from trainer.data.order import positions


def epoch_of(size, epoch, seed=0):
    return positions(tf.range(size, dtype=tf.int64), size, seed, tf.constant(epoch, tf.int64))


@pytest.mark.parametrize("size", [1, 2, 3, 5, 64, 1000, 2**17 + 1])
def test_every_epoch_is_a_permutation(size):
    for epoch in range(3):
        assert sorted(epoch_of(size, epoch).numpy()) == list(range(size))


def test_it_is_one_function_of_the_place_the_seed_and_the_epoch():
    whole = epoch_of(1000, 7)
    part = positions(tf.constant([999, 0, 500], tf.int64), 1000, 0, tf.constant(7, tf.int64))
    np.testing.assert_array_equal(part, tf.gather(whole, [999, 0, 500]))
    assert (epoch_of(1000, 8) != whole).numpy().mean() > 0.9
    assert (epoch_of(1000, 7, seed=1) != whole).numpy().mean() > 0.9
    # Epoch and seed are not one number: the epochs of a seed are not those of the next one.
    assert (epoch_of(1000, 6, seed=1) != whole).numpy().mean() > 0.9


def test_what_lies_behind_the_end_comes_from_the_start_of_the_files():
    rows = tf.constant([9, 10, 11, 19, 20], tf.int64)
    found = positions(rows, 10, 3, tf.constant(0, tf.int64)).numpy()
    assert list(found[1:]) == [0, 1, 9, 0]
    np.testing.assert_array_equal(
        positions(rows, 10, None, tf.constant(0, tf.int64)), [9, 0, 1, 9, 0]
    )


def test_orders_are_as_random_as_those_of_numpy():
    """Rank correlations with the order of the files, and between epochs, spread alike."""
    size, count = 500, 400
    orders = np.array([epoch_of(size, epoch).numpy() for epoch in range(count)])
    expected = 1 / np.sqrt(size - 1)
    with_files = [np.corrcoef(np.arange(size), one)[0, 1] for one in orders]
    with_next = [np.corrcoef(*pair)[0, 1] for pair in zip(orders, orders[1:], strict=False)]
    for found in (with_files, with_next):
        assert abs(np.mean(found)) < 4 * expected / np.sqrt(count)
        assert np.std(found) == pytest.approx(expected, rel=0.15)
    # Neighbours in the files are neighbours in an epoch as seldom as by chance.
    neighbours = (np.abs(np.diff(orders, axis=1)) == 1).sum()
    assert scipy.stats.poisson.sf(neighbours, count * 2 * (size - 1) / size) > 1e-4
    # Every example stands as often in the first place, in the second, and in the last one.
    for place in (0, 1, -1):
        counts = np.bincount(orders[:, place], minlength=size)
        assert scipy.stats.chisquare(counts).pvalue > 1e-4
