import keras
import numpy as np
import pytest
import tensorflow as tf
from sklearn import metrics

from tests.conftest import one_device, relative_difference, two_replicas
from trainer import models
from trainer.data.augment import uniform_draws
from trainer.data.input import Examples, distribute_batches
from trainer.training.engine import Engine
from trainer.training.loss_scale import DynamicLossScale

SIZE = 32
BATCH = 16


def make_examples(count: int, seed: int = 0) -> Examples:
    """Images whose class shows in the brightness of their upper half."""
    rng = np.random.default_rng(seed)
    labels = rng.integers(0, 4, count)
    images = rng.integers(0, 60, (count, SIZE, SIZE, 1))
    images[:, : SIZE // 2] += 50 * labels[:, None, None, None]
    return examples_of(images.astype(np.uint8), labels)


def examples_of(images: np.ndarray, labels: np.ndarray) -> Examples:
    columns = {
        "image": tf.constant(images),
        "label": tf.constant(labels),
        "id": tf.strings.as_string(tf.range(len(labels))),
    }
    return Examples(
        len(labels),
        "memory",
        tf.data.Dataset.range(len(labels)),
        lambda epoch: tf.data.Dataset.range(len(labels)),
        lambda rows: {name: tf.gather(column, rows) for name, column in columns.items()},
    )


def sgd():
    return keras.optimizers.SGD(1e-6, momentum=0.9)


def adam():
    return keras.optimizers.Adam(1e-3)


def train(
    strategy, examples, steps, *, optimizer=sgd, xla=False, precision="float32", flip=True,
    build=None, loss_scale=None,
):  # fmt: skip
    """Trains a small LeNet from seed 0; returns engine, model and first weights."""
    keras.utils.set_random_seed(0)
    with strategy.scope():
        model = (build or small_lenet)(precision)
        first = model.get_weights()
        optimizer = optimizer()
        scale = loss_scale() if loss_scale else None
    engine = Engine(strategy, model, optimizer, xla=xla, flip=flip, loss_scale=scale)
    batches = iter(distribute_batches(examples, strategy, BATCH, augment_seed=3))
    engine.train(batches, steps)
    return engine, model, first


def small_lenet(precision="float32"):
    return models.build("lenet", image_shape=(SIZE, SIZE, 1), precision=precision)


def with_batch_normalization(precision="float32"):
    inputs = keras.Input((SIZE, SIZE, 1), dtype="uint8")
    x = keras.layers.Rescaling(1 / 255)(inputs)
    x = keras.layers.BatchNormalization(momentum=0.5)(x)
    x = keras.layers.GlobalAveragePooling2D()(x)
    return keras.Model(inputs, keras.layers.Softmax()(keras.layers.Dense(4, name="logits")(x)))


def replica_values(variable, replica):
    return variable.value.values[replica].numpy()


def test_steps_equal_plain_keras():
    examples = make_examples(3 * BATCH)
    _, model, first = train(one_device(), examples, 3, optimizer=adam)

    keras.utils.set_random_seed(0)
    plain, optimizer = small_lenet(), adam()
    plain.set_weights(first)
    loss = keras.losses.SparseCategoricalCrossentropy()
    rows = examples.load(tf.range(examples.size))
    draws = uniform_draws(rows["id"], 3, tf.constant(0)).numpy()[:, 0]
    images = rows["image"].numpy()
    flipped = np.where(draws[:, None, None, None] < 0.5, images[:, :, ::-1], images)
    for step in range(3):
        part = slice(step * BATCH, (step + 1) * BATCH)
        with tf.GradientTape() as tape:
            value = loss(rows["label"][part], plain(flipped[part], training=True))
        gradients = tape.gradient(value, [v.value for v in plain.trainable_variables])
        optimizer.apply_gradients(zip(gradients, plain.trainable_variables, strict=True))
    assert relative_difference(model.get_weights(), plain.get_weights()) < 1e-5


@pytest.mark.parametrize("xla", [False, True])
def test_two_replicas_end_with_the_weights_of_one_device(xla):
    examples = make_examples(103)
    _, alone, first = train(one_device(), examples, 20, xla=xla)
    _, shared, _ = train(two_replicas(), examples, 20, xla=xla)
    assert relative_difference(alone.get_weights(), first) > 1e-3
    assert relative_difference(shared.get_weights(), alone.get_weights()) < 1e-5


def test_with_adam_replicas_differ_from_one_device_by_rounding_alone():
    # Adam divides a gradient by its own size, which blows the rounding of tiny gradients up in
    # float32; in float64 what is left must be as small as float64's rounding makes it.
    examples = make_examples(103)
    _, alone, _ = train(one_device(), examples, 20, optimizer=adam, precision="float64")
    _, shared, _ = train(two_replicas(), examples, 20, optimizer=adam, precision="float64")
    assert relative_difference(shared.get_weights(), alone.get_weights()) < 1e-9


def test_replicas_hold_the_same_weights():
    _, model, _ = train(two_replicas(), make_examples(64), 5, optimizer=adam)
    for weight in model.weights:
        np.testing.assert_array_equal(replica_values(weight, 0), replica_values(weight, 1))


@pytest.mark.parametrize("precision", ["mixed_bfloat16", "mixed_float16"])
def test_mixed_precision_learns_under_two_replicas_with_xla(precision):
    engine, model, _ = train(
        two_replicas(), make_examples(128), 40, optimizer=adam, xla=True, precision=precision,
        loss_scale=DynamicLossScale if precision == "mixed_float16" else None,
    )  # fmt: skip
    engine.train_metrics()
    batches = iter(distribute_batches(make_examples(128, seed=1), two_replicas(), BATCH))
    engine.evaluate(batches, 8)
    assert all(np.isfinite(weight).all() for weight in model.get_weights())
    assert all(weight.dtype == np.float32 for weight in model.get_weights())
    assert engine.eval_metrics()["accuracy"] > 0.6


def test_overflow_on_the_last_replica_alone_skips_the_step_on_every_replica():
    # Replica 0 sees black images and replica 1 bright ones, which overflow at this loss scale.
    images = np.zeros((BATCH, SIZE, SIZE, 1), np.uint8)
    images[BATCH // 2 :] = 255
    labels = np.zeros(BATCH, int)
    scale = 2.0**15

    def large_scale():
        return DynamicLossScale(initial=scale)

    black = examples_of(np.zeros_like(images), labels)
    _, _, first = train(two_replicas(), black, 0)
    engine, unhurt, _ = train(
        two_replicas(), black, 1, precision="mixed_float16", loss_scale=large_scale
    )
    assert relative_difference(unhurt.get_weights(), first) > 0, "black images must not overflow"
    assert float(engine._loss_scale.value.numpy()) == scale

    engine, model, _ = train(
        two_replicas(), examples_of(images, labels), 1, precision="mixed_float16",
        loss_scale=large_scale,
    )  # fmt: skip
    assert float(engine._loss_scale.value.numpy()) == scale / 2
    for replica in range(2):
        for weight, before in zip(model.weights, first, strict=True):
            np.testing.assert_array_equal(replica_values(weight, replica), before)


def test_rows_that_fill_the_last_batch_weigh_nothing():
    examples = make_examples(10)
    _, model, first = train(two_replicas(), examples, 1, flip=False)
    plain = small_lenet()
    plain.set_weights(first)
    rows = examples.load(tf.range(10))
    with tf.GradientTape() as tape:
        losses = keras.losses.sparse_categorical_crossentropy(rows["label"], plain(rows["image"]))
        value = tf.reduce_mean(losses)
    gradients = tape.gradient(value, [v.value for v in plain.trainable_variables])
    expected = [
        weight - 1e-6 * gradient.numpy() for weight, gradient in zip(first, gradients, strict=True)
    ]
    assert relative_difference(model.get_weights(), expected) < 1e-7


def test_moving_statistics_are_the_mean_over_replicas():
    examples = make_examples(BATCH)
    engine, model, _ = train(
        two_replicas(), examples, 1, build=with_batch_normalization, flip=False
    )
    engine.train_metrics()
    images = examples.load(tf.range(BATCH))["image"].numpy() / 255
    halves = images[: BATCH // 2], images[BATCH // 2 :]
    layer = next(x for x in model.layers if isinstance(x, keras.layers.BatchNormalization))
    for replica in range(2):
        np.testing.assert_allclose(
            replica_values(layer.moving_mean, replica)[0],
            0.5 * np.mean([half.mean() for half in halves]),
            rtol=1e-5,
        )
        np.testing.assert_allclose(
            replica_values(layer.moving_variance, replica)[0],
            0.5 + 0.5 * np.mean([half.var() for half in halves]),
            rtol=1e-3,
        )


@pytest.mark.parametrize("strategy", [one_device, two_replicas])
def test_evaluation_counts_every_example_once(strategy):
    examples = make_examples(103)
    engine, model, _ = train(strategy(), examples, 8, optimizer=adam)
    assert engine.train_metrics()["examples"] == 103 + 8 * BATCH - 112
    batches = iter(distribute_batches(examples, strategy(), BATCH))
    for _ in range(2):  # the second pass must not remember the first
        engine.evaluate(batches, examples.steps_per_epoch(BATCH))
        measured = engine.eval_metrics()
        rows = examples.load(tf.range(103))
        probabilities = model(rows["image"]).numpy().astype(np.float64)
        probabilities /= probabilities.sum(axis=1, keepdims=True)
        labels = rows["label"].numpy()
        assert measured["examples"] == 103
        assert measured["accuracy"] == pytest.approx(
            metrics.accuracy_score(labels, probabilities.argmax(axis=1))
        )
        assert measured["loss"] == pytest.approx(
            metrics.log_loss(labels, probabilities, labels=range(4)), rel=1e-4
        )


@pytest.mark.parametrize(
    "name", ["lenet", "resnet101", "vgg19", pytest.param("densenet169", marks=pytest.mark.slow)]
)
def test_each_model_takes_a_step_on_phantoms_under_two_replicas(name, dataset):
    from trainer.data.input import read_examples

    strategy = two_replicas()
    examples = read_examples(dataset, "train", cache="memory", shuffle_seed=0)
    with strategy.scope():
        model = models.build(name, image_shape=dataset.image_shape)
        optimizer = adam()
    before = [weight.numpy() for weight in model.trainable_variables]
    frozen = [weight.numpy() for weight in model.non_trainable_variables]
    engine = Engine(strategy, model, optimizer, xla=False, flip=True)
    engine.train(iter(distribute_batches(examples, strategy, 4, augment_seed=0)), 1)
    after = [weight.numpy() for weight in model.trainable_variables]
    assert np.isfinite(engine.train_metrics()["loss"])
    assert all(np.isfinite(weight).all() for weight in after)
    assert relative_difference(after, before) > 0
    if name in ("resnet101", "vgg19"):
        for weight, was in zip(model.non_trainable_variables, frozen, strict=True):
            np.testing.assert_array_equal(weight.numpy(), was)
