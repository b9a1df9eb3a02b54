from fractions import Fraction

import numpy as np
import pytest
import tensorflow as tf
from sklearn import metrics

from tests.conftest import two_replicas
from trainer.training.metrics import Totals, count, count_not_finite, measure


def add(totals, losses, logits, labels, weights):
    """Adds rows, each replica its half."""
    half = len(labels) // 2
    columns = [np.asarray(column) for column in (losses, logits, labels, weights)]

    def rows(context, index):
        part = slice(context * half, (context + 1) * half)
        return tf.constant(columns[index][part])

    strategy = two_replicas()
    values = [
        strategy.experimental_distribute_values_from_function(
            lambda context, index=index: rows(context.replica_id_in_sync_group, index)
        )
        for index in range(4)
    ]

    @tf.function
    def run():
        def body(losses, logits, labels, weights):
            batch = {"label": labels, "weight": weights}
            sums = count(losses, logits, batch)
            totals.add(sums, tf.constant(250_000, tf.int64))
            return count_not_finite(sums)

        return strategy.run(body, args=values)

    return [int(count) for count in strategy.experimental_local_results(run())]


def test_sums_are_those_of_scikit_learn():
    rng = np.random.default_rng(0)
    losses, logits = rng.exponential(size=16).astype(np.float32), rng.normal(size=(16, 3))
    labels, weights = rng.integers(0, 3, 16), np.ones(16, np.float32)
    weights[-3:] = 0
    totals = Totals(two_replicas(), 3)
    for _ in range(2):
        assert add(totals, losses, logits, labels, weights) == [0, 0]
    measured = measure(totals.read())
    true, predicted = labels[:-3], logits[:-3].argmax(axis=1)
    assert measured.examples == 26
    assert measured.loss == pytest.approx(losses[:-3].astype(np.float64).mean(), abs=1e-7)
    assert measured.accuracy == metrics.accuracy_score(true, predicted)
    np.testing.assert_array_equal(measured.confusion, 2 * metrics.confusion_matrix(true, predicted))
    np.testing.assert_allclose(measured.recall, metrics.recall_score(true, predicted, average=None))
    assert measured.waited == 1.0
    totals.reset()
    assert not totals.read().any()


def test_large_and_small_losses_are_summed_exactly():
    losses = np.array([2.0**39 + 2.0**16, 2.0**-31, 3.75, 0.0], np.float32)
    totals = Totals(two_replicas(), 3)
    add(totals, losses, np.zeros((4, 3)), np.zeros(4, int), np.ones(4, np.float32))
    exact = 2**39 + 2**16 + 2.0**-31 + 3.75
    assert measure(totals.read()).loss == exact / 4


def test_each_loss_is_rounded_to_the_nearest_unit():
    losses = np.random.default_rng(0).lognormal(-4, 6, 1000).astype(np.float32)
    batch = {"label": np.zeros(1000, int), "weight": np.ones(1000, np.float32)}
    whole, fractions, *_ = count(tf.constant(losses), tf.zeros([1000, 2]), batch).numpy().tolist()
    exact = [Fraction(float(loss)) for loss in losses]
    assert whole * 2**32 + fractions == sum(round(loss * 2**32) for loss in exact)


def test_losses_that_are_not_finite_are_counted_where_they_weigh():
    losses = np.array([1, np.nan, 1e30, np.nan], np.float32)
    totals = Totals(two_replicas(), 3)
    counts = add(
        totals, losses, np.zeros((4, 3)), np.zeros(4, int), np.array([1, 1, 1, 0], np.float32)
    )
    assert counts == [1, 1]
    assert np.isnan(measure(totals.read()).loss)


def test_a_class_without_examples_has_no_recall():
    sums = np.zeros(4 + 4, np.int64)
    sums[4] = 5
    assert np.isnan(measure(sums).recall[1])
