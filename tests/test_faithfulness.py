import keras
import numpy as np
import pytest

from trainer import models
from trainer.data.examples import Example
from trainer.explain import faithfulness
from trainer.explain.heatmap_metrics import evaluate_heatmap, totals
from trainer.explain.methods import METHODS

SIZE = 36


def square(top, left, side):
    mask = np.zeros((SIZE, SIZE), bool)
    mask[top : top + side, left : left + side] = True
    return mask


def bright_square_model(images):
    """Probability of class 1: how bright the upper left quarter is."""
    brightness = images[:, : SIZE // 2, : SIZE // 2].mean(axis=(1, 2, 3)) / 255
    return np.stack([1 - brightness, brightness], axis=1)


def test_the_share_of_heat_stands_beside_the_share_of_area():
    heat = np.zeros((SIZE, SIZE), np.float32)
    heat[0, 0], heat[20, 20] = 3, 1
    share, area = faithfulness.heat_within(heat, square(0, 0, 6))
    assert (share, area) == (0.75, 36 / SIZE**2)
    assert faithfulness.heat_within(heat * 0, square(0, 0, 6)) == (None, 36 / SIZE**2)


def test_the_pointing_game_asks_where_the_hottest_pixel_is():
    heat = np.zeros((SIZE, SIZE), np.float32)
    heat[5, 30] = 1
    assert faithfulness.points_into(heat, square(4, 28, 4)) is True
    assert faithfulness.points_into(heat, square(28, 4, 4)) is False
    assert faithfulness.points_into(heat * 0, square(4, 28, 4)) is None


def test_random_heat_depends_on_seed_and_image_alone():
    first = faithfulness.random_heat((SIZE, SIZE), 0, "COVID-1")
    np.testing.assert_array_equal(first, faithfulness.random_heat((SIZE, SIZE), 0, "COVID-1"))
    assert np.abs(first - faithfulness.random_heat((SIZE, SIZE), 1, "COVID-1")).max() > 0.1
    assert np.abs(first - faithfulness.random_heat((SIZE, SIZE), 0, "COVID-2")).max() > 0.1


def test_deleting_what_matters_lowers_the_answer_and_inserting_it_raises_it():
    image = np.where(square(0, 0, SIZE // 2), 255, 0).astype(np.uint8)[..., None]
    right = square(0, 0, SIZE // 2).astype(np.float32)
    deletion, insertion = faithfulness.curves(bright_square_model, image, right, 1)
    wrong_deletion, wrong_insertion = faithfulness.curves(bright_square_model, image, 1 - right, 1)
    for curve in (deletion, wrong_deletion):
        assert curve[0] == bright_square_model(image[None])[0, 1]
        assert curve[-1] < curve[0]
    np.testing.assert_allclose(insertion[0], deletion[-1])  # Both are the blurred radiograph.
    np.testing.assert_allclose(insertion[-1], deletion[0])
    areas = [
        faithfulness.area_under(curve)
        for curve in (deletion, wrong_deletion, insertion, wrong_insertion)
    ]
    assert areas[0] < areas[1] - 0.05
    assert areas[2] > areas[3] + 0.05


def test_the_area_is_that_of_the_trapezoids():
    curve = np.array([1.0, 0.5, 0.25])
    assert faithfulness.area_under(curve) == pytest.approx((0.75 + 0.375) / 2)


def test_evaluating_brings_the_numbers_together():
    lungs, finding = square(0, 0, 18), square(0, 0, 12)
    image = np.where(finding, 255, 0).astype(np.uint8)[..., None]
    seen = Example("A", "", 1, image, lungs, finding)
    heat = finding.astype(np.float32)
    numbers = evaluate_heatmap(seen, heat, 1, bright_square_model, 0)
    assert (numbers["lung_heat"], numbers["lung_area"]) == (1, 0.25)
    assert numbers["pointing_hit"] is True
    assert numbers["deletion_auc"] < numbers["random_deletion_auc"]
    assert numbers["insertion_auc"] > numbers["random_insertion_auc"]
    blind = evaluate_heatmap(Example("B", "", 1, image), heat * 0, 1, bright_square_model, 0)
    assert set(blind.values()) == {None}
    total = totals([numbers, blind])["pointing_hit"]
    assert (total["mean"], total["chance"]) == (1, pytest.approx(1 / 9))
    assert (total["images"], total["better_than_chance"]) == (1, 1)


@pytest.fixture(scope="module")
def model():
    keras.utils.set_random_seed(0)
    return models.build("lenet", models.Architecture(scaling="torch"), image_shape=(SIZE, SIZE, 1))


def test_shuffled_weights_are_the_same_sizes_elsewhere(model):
    learnt = model.get_weights()
    for old, new in zip(learnt, faithfulness.shuffled(learnt, 0), strict=True):
        sizes = [np.sort(np.abs(array), axis=None) for array in (old, new)]
        np.testing.assert_array_equal(*sizes)
        assert np.any(old != new) or not old.any()


def test_of_a_network_of_negative_kernels_the_maps_are_others_and_its_weights_stay(model):
    """Shuffled without signs it would be silenced, and nothing be left to compare."""
    model.set_weights([array - 0.1 for array in model.get_weights()])
    before = model.get_weights()
    images = np.random.default_rng(0).integers(0, 256, (4, SIZE, SIZE, 1), dtype=np.uint8)
    silent, seeing = METHODS["hirescam"](model), keras.models.clone_model(model)
    seeing.set_weights([np.abs(array) for array in before])
    check = faithfulness.randomisation_check(silent, model, images, [0] * 4, 0)
    assert (check["rank_correlation"], check["passes"], check["no_heat"]) == (None, None, 12)
    check = faithfulness.randomisation_check(
        METHODS["layercam"](seeing), seeing, images, np.array([0, 1, 2, 3]), 0
    )
    assert check["compared"] == 12 and check["passes"] is True
    for old, new in zip(before, model.get_weights(), strict=True):
        np.testing.assert_array_equal(old, new)


class Scaled:
    """Stands for a model and its method: its maps are scaled by the first factor, and by the next
    one each time its weights are set."""

    def __init__(self, *factors):
        self.factors = list(factors)

    def get_weights(self):
        return [np.ones(2)]

    def set_weights(self, weights):
        self.factors.pop(0)

    def __call__(self, images, targets):
        return self.factors[0] * np.arange(96.0).reshape(6, 4, 4), None


def test_the_randomisation_check_fails_maps_that_do_not_change():
    images, targets = np.zeros((6, SIZE, SIZE, 1), np.uint8), np.zeros(6, int)

    def check(*factors):
        model = Scaled(*factors, 1)
        found = faithfulness.randomisation_check(model, model, images, targets, 0)
        return found["rank_correlation"], found["compared"], found["no_heat"], found["passes"]

    assert check(1, 2, 3, 4) == (pytest.approx(1), 18, 0, False)
    assert check(1, -1, 0, -2) == (pytest.approx(-1), 12, 6, True)
    assert check(0, 1, 1, 1) == (None, 0, 18, None)
