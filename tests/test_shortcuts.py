import numpy as np
import pytest

from tests.support.simulated import one_hot
from trainer.evaluation.json_content import json_content
from trainer.evaluation.resampling import Resampling
from trainer.evaluation.shortcuts import blanked, evaluate_shortcuts


def test_the_two_views_hold_each_pixel_once():
    images = np.random.default_rng(0).integers(1, 256, (3, 8, 6, 1), dtype=np.uint8)
    lungs = np.random.default_rng(1).random((3, 8, 6, 1)) < 0.5
    views = blanked(images, lungs)
    np.testing.assert_array_equal(views["lungs_only"] + views["lungs_blanked"], images)
    assert (views["lungs_only"][~lungs] == 0).all() and (views["lungs_only"][lungs] > 0).all()
    assert views["lungs_blanked"].dtype == np.uint8


def test_each_view_has_its_accuracy():
    labels = np.array([0, 0, 0, 1, 2, 3])
    probabilities = {
        "whole": one_hot([0, 0, 0, 1, 2, 0]),
        "lungs_only": one_hot([0, 0, 1, 1, 2, 0]),
        "lungs_blanked": one_hot([0] * 6),
    }
    resampling = Resampling(labels, None, 200, 0)
    controls = json_content(evaluate_shortcuts(probabilities, labels, resampling))
    assert controls["examples"] == 6
    assert controls["whole"]["accuracy"] == pytest.approx(5 / 6)
    assert controls["lungs_only"]["accuracy"] == pytest.approx(4 / 6)
    # A model that needs the lungs scores what the most frequent class does without them.
    assert controls["lungs_blanked"]["accuracy"] == controls["most_frequent_class"] == 0.5
    assert controls["lungs_blanked"]["balanced_accuracy"] == 0.25
    low, high = controls["lungs_only"]["intervals"]["accuracy"]
    assert low <= 4 / 6 <= high
