import keras
import numpy as np
import pytest
import tensorflow as tf

from tests.conftest import one_device, relative_difference, two_replicas
from tests.support.toy import SIZE, make_examples, train
from trainer import models
from trainer.data.augment import NUM_DRAWS, draws_for, uniform_draws
from trainer.training.dropout import dropout_mask, training_network


def draws(count):
    ids = tf.strings.as_string(tf.range(count))
    return uniform_draws(ids, 0, tf.constant(0))


def test_a_mask_leaves_out_the_share_independently_of_example_and_feature():
    mask = dropout_mask(draws_for("dropout", draws(2000)), 300, 0.3).numpy()
    np.testing.assert_allclose(np.unique(mask), [0, 1 / 0.7], rtol=1e-6)
    kept = mask > 0
    # Five standard deviations of a binomial proportion.
    assert np.abs(kept.mean(axis=0) - 0.7).max() < 5 * np.sqrt(0.21 / 2000)
    assert np.abs(kept.mean(axis=1) - 0.7).max() < 5 * np.sqrt(0.21 / 300)
    for rows in (kept.T[:100], kept[:100]):
        correlation = np.corrcoef(rows.astype(float))
        others = correlation[~np.eye(100, dtype=bool)]
        assert others.std() == pytest.approx(rows.shape[1] ** -0.5, rel=0.05)


def test_an_example_has_the_same_mask_in_whatever_batch_it_falls():
    drawn = draws_for("dropout", draws(8))
    np.testing.assert_array_equal(
        dropout_mask(drawn, 50, 0.5)[3:5], dropout_mask(drawn[3:5], 50, 0.5)
    )


def with_dropout(precision="float32", **rates):
    rates = rates or {"dropout": 0.4, "map_dropout": 0.2}
    return models.build(
        "lenet", models.Architecture(**rates), image_shape=(SIZE, SIZE, 1), precision=precision
    )


def test_the_training_network_multiplies_the_features_by_the_mask():
    model = with_dropout(dropout=0.4)
    images, drawn = make_examples(6).load(tf.range(6))["image"], draws(6)
    features = keras.Model(model.input, model.get_layer("dense").output)(images).numpy()
    kernel, bias = model.get_layer("logits").get_weights()
    mask = dropout_mask(draws_for("dropout", drawn), 128, 0.4).numpy()
    logits = training_network(model)(images, drawn)
    np.testing.assert_allclose(logits, features * mask @ kernel + bias, rtol=1e-3, atol=1e-3)


def test_a_feature_map_is_left_out_as_a_whole():
    model = with_dropout(map_dropout=0.4)
    images, drawn = make_examples(6).load(tf.range(6))["image"], draws(6)
    maps = keras.Model(model.input, model.get_layer("pool1").output)(images).numpy()
    mask = dropout_mask(draws_for("map_dropout", drawn), 32, 0.4).numpy()
    assert 0.2 < np.mean(mask == 0) < 0.6
    above = keras.Model(model.get_layer("conv2").input, model.get_layer("logits").output)
    expected = above(maps * mask[:, np.newaxis, np.newaxis])
    np.testing.assert_allclose(training_network(model)(images, drawn), expected, rtol=1e-5)


def test_both_dropouts_draw_apart():
    drawn = draws(500)
    masks = [dropout_mask(draws_for(name, drawn), 32, 0.5) for name in ("dropout", "map_dropout")]
    assert abs(np.corrcoef(*(np.ravel(mask) for mask in masks))[0, 1]) < 5 / np.sqrt(500 * 32)


def test_a_model_without_dropout_needs_no_draws():
    model = models.build("lenet", image_shape=(SIZE, SIZE, 1))
    images = make_examples(6).load(tf.range(6))["image"]
    logits = training_network(model)(images, None)
    assert logits.shape == (6, 4)
    different = training_network(model)(images, tf.random.uniform([6, NUM_DRAWS]))
    np.testing.assert_array_equal(logits, different)


def test_two_replicas_with_dropout_end_with_the_weights_of_one_device():
    examples = make_examples(103)
    _, alone, first = train(one_device(), examples, 20, build=with_dropout)
    _, shared, _ = train(two_replicas(), examples, 20, build=with_dropout)
    _, never, _ = train(one_device(), examples, 20)
    assert relative_difference(alone.get_weights(), first) > 1e-3
    assert relative_difference(alone.get_weights(), never.get_weights()) > 1e-4
    assert relative_difference(shared.get_weights(), alone.get_weights()) < 1e-5
