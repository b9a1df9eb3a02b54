import csv
import dataclasses

import keras
import numpy as np
import pytest

from trainer.data.examples import Examples
from trainer.errors import UserError
from trainer.evaluation.predictions import (
    Predictions,
    ensemble,
    predict,
    predictor,
    write_predictions,
)

SHAPE = (8, 6, 1)


@pytest.fixture(scope="module")
def model():
    """A small network whose answer depends on left and right."""
    keras.utils.set_random_seed(0)
    inputs = keras.Input(SHAPE, dtype="uint8")
    x = keras.layers.Rescaling(1 / 255)(inputs)
    x = keras.layers.Dense(3, name="logits")(keras.layers.Flatten(name="features")(x))
    return keras.Model(inputs, keras.layers.Softmax()(x))


@pytest.fixture(scope="module")
def images():
    return np.random.default_rng(0).integers(0, 256, (70, *SHAPE), dtype=np.uint8)


@pytest.fixture(scope="module")
def examples(images):
    lungs = np.zeros((2, *SHAPE), bool)
    lungs[:, 2:5] = True
    return Examples(
        class_names=("a", "b", "c"), ids=np.arange(70).astype(str), labels=np.arange(70) % 3,
        images=images, masks=lungs, masked=np.array([4, 9]),
    )  # fmt: skip


def test_every_image_is_predicted_once_whatever_the_batch(model, images):
    expected = np.concatenate([model(images[row : row + 1]).numpy() for row in range(70)])
    probabilities = predictor(model, flip=False)(images)
    np.testing.assert_allclose(probabilities, expected, atol=1e-6)
    np.testing.assert_allclose(probabilities.sum(axis=1), 1, atol=1e-15)


def test_the_flip_is_the_mean_with_the_mirror_image(model, images):
    expected = (model(images).numpy() + model(images[:, :, ::-1]).numpy()) / 2
    plain, flipped = (predictor(model, flip=flip)(images) for flip in (False, True))
    np.testing.assert_allclose(flipped, expected, atol=1e-6)
    assert np.abs(flipped - plain).max() > 0.01


def test_a_model_that_gives_no_numbers_is_the_users_mistake(model, images):
    broken = keras.models.clone_model(model)
    broken.set_weights([np.full_like(weight, np.nan) for weight in model.get_weights()])
    with pytest.raises(UserError, match="no numbers"):
        predictor(broken, flip=False)(images)


def test_a_model_predicts_examples_validation_and_blanked_lungs(model, examples, images):
    validation = dataclasses.replace(examples, images=images[:5])
    predictions = predict("name", model, examples, validation, flip=False)
    np.testing.assert_allclose(predictions.probabilities, model(images).numpy(), atol=1e-6)
    np.testing.assert_allclose(predictions.validation, model(images[:5]).numpy(), atol=1e-6)
    np.testing.assert_allclose(predictions.features, images.reshape(70, -1) / 255, rtol=1e-6)
    black = images[[4, 9]].copy()
    black[:, 2:5] = 0
    np.testing.assert_allclose(
        predictions.blanked["lungs_blanked"], model(black).numpy(), atol=1e-6
    )
    unmasked = dataclasses.replace(examples, masks=None)
    assert predict("name", model, unmasked, None, flip=False).blanked == {}


def test_an_ensemble_is_the_mean_of_its_members():
    generator = np.random.default_rng(0)
    members = [
        Predictions(
            name, *(generator.dirichlet(np.ones(3), 4) for _ in range(2)), {"v": np.ones(3) * n}
        )
        for n, name in enumerate("ab")
    ]
    both = ensemble("both", members)
    np.testing.assert_allclose(
        both.probabilities, (members[0].probabilities + members[1].probabilities) / 2
    )
    np.testing.assert_allclose(both.validation, (members[0].validation + members[1].validation) / 2)
    np.testing.assert_allclose(both.blanked["v"], 0.5)
    alone = [dataclasses.replace(member, validation=None) for member in members]
    assert ensemble("both", alone).validation is None


def test_predictions_are_written_in_order_and_in_full_precision(tmp_path):
    probabilities = np.array([[0.9, 0.1], [0.7, 0.3], [1 / 3, 2 / 3]])
    write_predictions(
        tmp_path / "predictions.csv", np.array(["COVID-1", "Normal, 2", "é"]), np.array([0, 1, 0]),
        probabilities, ("COVID", "Normal"),
    )  # fmt: skip
    with (tmp_path / "predictions.csv").open(newline="", encoding="utf-8") as file:
        header, *rows = csv.reader(file)
    assert header == ["id", "label", "predicted", "COVID", "Normal"]
    assert [row[:3] for row in rows] == [
        ["COVID-1", "COVID", "COVID"], ["Normal, 2", "Normal", "COVID"], ["é", "COVID", "Normal"],
    ]  # fmt: skip
    np.testing.assert_array_equal(np.array([row[3:] for row in rows]).astype(float), probabilities)
