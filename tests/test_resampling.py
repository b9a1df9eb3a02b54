import numpy as np
import pytest

from trainer.evaluation.resampling import Resampling

LABELS = np.array([0, 0, 0, 1, 1, 1, 1, 2])
GROUPS = np.array(["a", "a", "b", "c", "d", "d", "d", "e"])


def all_weights(resampling):
    return np.concatenate(list(resampling.weights()))


def test_every_class_keeps_its_number_of_examples():
    weights = all_weights(Resampling(LABELS, None, 500, 0))
    assert weights.shape == (500, 8)
    for label, count in enumerate(np.bincount(LABELS)):
        assert (weights[:, LABELS == label].sum(axis=1) == count).all()


def test_copies_of_a_radiograph_are_drawn_together():
    weights = all_weights(Resampling(LABELS, GROUPS, 500, 0))
    assert (weights[:, 0] == weights[:, 1]).all()
    assert (weights[:, 4] == weights[:, 5]).all() and (weights[:, 4] == weights[:, 6]).all()
    # Two groups are drawn of the two that class 0 has.
    assert (weights[:, 0] + weights[:, 2] == 2).all()
    assert len(np.unique(weights[:, 0])) == 3


def test_each_example_is_drawn_once_on_average():
    weights = all_weights(Resampling(LABELS, None, 20_000, 0))
    np.testing.assert_allclose(weights.mean(axis=0), 1, atol=0.03)


def test_the_seed_decides():
    first, again = (all_weights(Resampling(LABELS, GROUPS, 50, 7)) for _ in range(2))
    other = all_weights(Resampling(LABELS, GROUPS, 50, 8))
    np.testing.assert_array_equal(first, again)
    assert (first != other).any()


def test_many_resamples_of_many_examples_come_in_parts():
    resampling = Resampling(np.zeros(300_000, int), None, 20, 0)
    parts = [part.shape for part in resampling.weights()]
    assert len(parts) > 1
    assert sum(rows for rows, _ in parts) == 20
    means = resampling.samples(lambda weights: {"total": weights.sum(axis=1)})
    np.testing.assert_array_equal(means["total"], np.full(20, 300_000.0))


def test_a_part_is_the_resampling_of_some_examples():
    part = Resampling(LABELS, GROUPS, 10, 0).part(LABELS == 1)
    np.testing.assert_array_equal(part.labels, [1, 1, 1, 1])
    np.testing.assert_array_equal(part.groups, ["c", "d", "d", "d"])


@pytest.mark.parametrize("labels", [[0], [0, 1, 2]])
def test_single_examples_are_drawn_every_time(labels):
    weights = all_weights(Resampling(np.array(labels), None, 5, 0))
    assert (weights == 1).all()
