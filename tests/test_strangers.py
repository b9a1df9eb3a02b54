import numpy as np
import pytest
from scipy.spatial.distance import cdist, mahalanobis
from sklearn.covariance import LedoitWolf

from benchmarks import strangers
from benchmarks.foreign_pictures import foreign_pictures


@pytest.fixture(scope="module")
def radiographs():
    return np.random.default_rng(0).integers(0, 256, (6, 64, 48, 1), dtype=np.uint8)


def test_pictures_of_every_kind_are_drawn_by_the_seed(radiographs):
    first, again, other = (foreign_pictures(radiographs, 5, seed) for seed in (1, 1, 2))
    assert len(first) == 11
    for kind, images in first.items():
        assert (images.shape, images.dtype) == ((5, 64, 48, 1), np.uint8), kind
        np.testing.assert_array_equal(images, again[kind])
        assert len(np.unique(images.reshape(5, -1), axis=0)) == 5, kind
        if kind != "phantom radiographs":
            assert not np.array_equal(images, other[kind]), kind


def test_radiographs_are_turned_upside_down(radiographs):
    found = foreign_pictures(radiographs, 6, 0)
    turned, inverted = found["turned by 180 degrees"], found["inverted"]
    np.testing.assert_array_equal(turned, 255 - inverted[:, ::-1, ::-1])


def test_the_other_scores_are_those_of_their_formulas():
    generator = np.random.default_rng(0)
    features, labels = generator.normal(1, 1, (60, 5)), np.arange(60) % 2
    others = generator.normal(2, 1, (9, 5))
    means = [features[labels == label].mean(axis=0) for label in range(2)]
    residuals = features - np.array(means)[labels]
    precision = LedoitWolf(assume_centered=True).fit(residuals).precision_
    expected = [min(mahalanobis(one, mean, precision) ** 2 for mean in means) for one in others]
    np.testing.assert_allclose(strangers.mahalanobis(features, labels)(others), expected, rtol=1e-9)
    unit, far = (a / np.linalg.norm(a, axis=1, keepdims=True) for a in (features, others))
    expected = cdist(far, unit).min(axis=1) ** 2
    np.testing.assert_allclose(strangers.nearest(features)(others), expected, atol=1e-6)


def test_the_area_is_the_share_of_pairs_in_the_right_order():
    usual, strange = np.array([1.0, 2.0, 4.0]), np.array([3.0, 5.0])
    assert strangers.area(usual, strange) == pytest.approx(5 / 6, abs=1e-12)
