import keras
import numpy as np
import pytest
import tensorflow as tf
from sklearn import metrics

from tests.conftest import one_device, relative_difference, two_replicas
from tests.support.devices import KINDS
from tests.support.toy import BATCH, SIZE, examples_of, make_examples, sgd, small_lenet, train
from trainer import models
from trainer.data.augment import uniform_draws
from trainer.data.input import distribute_batches, read_clock
from trainer.models.fused_normalization import fuse_normalization
from trainer.training.computation import Computation
from trainer.training.engine import Engine
from trainer.training.interruption import StopRequest
from trainer.training.loss_scale import DynamicLossScale
from trainer.training.metrics import measure
from trainer.training.objective import Objective


def adam():
    return keras.optimizers.Adam(1e-3)


def with_batch_normalization(precision="float32"):
    inputs = keras.Input((SIZE, SIZE, 1), dtype="uint8")
    x = keras.layers.Rescaling(1 / 255)(inputs)
    x = keras.layers.BatchNormalization(momentum=0.5)(x)
    x = keras.layers.GlobalAveragePooling2D()(x)
    return keras.Model(inputs, keras.layers.Softmax()(keras.layers.Dense(4, name="logits")(x)))


@pytest.mark.parametrize("kind", KINDS)
def test_steps_equal_plain_keras(kind):
    examples = make_examples(3 * BATCH)
    _, model, first = train(one_device(kind), examples, 3, optimizer=adam)

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


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("xla", [False, True])
def test_two_replicas_end_with_the_weights_of_one_device(xla, kind):
    examples = make_examples(103)
    _, alone, first = train(one_device(kind), examples, 20, xla=xla)
    _, shared, _ = train(two_replicas(kind), examples, 20, xla=xla)
    assert relative_difference(alone.get_weights(), first) > 1e-3
    assert relative_difference(shared.get_weights(), alone.get_weights()) < 1e-5


@pytest.mark.parametrize("kind", KINDS)
def test_with_adam_replicas_differ_from_one_device_by_rounding_alone(kind):
    # Adam divides a gradient by its own size, which blows the rounding of tiny gradients up in
    # float32; in float64 what is left must be as small as float64's rounding makes it.
    examples = make_examples(103)
    _, alone, _ = train(one_device(kind), examples, 20, optimizer=adam, precision="float64")
    _, shared, _ = train(two_replicas(kind), examples, 20, optimizer=adam, precision="float64")
    assert relative_difference(shared.get_weights(), alone.get_weights()) < 1e-9


@pytest.mark.parametrize("kind", KINDS)
def test_replicas_hold_the_same_weights(kind):
    engine, _, first = train(two_replicas(kind), make_examples(64), 5, optimizer=adam)
    held = [engine.weights(replica=replica) for replica in range(2)]
    assert relative_difference(held[0], first) > 0
    for one, other in zip(*held, strict=True):
        np.testing.assert_array_equal(one, other)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("precision", ["mixed_bfloat16", "mixed_float16"])
def test_mixed_precision_learns_under_two_replicas_with_xla(precision, kind):
    engine, model, _ = train(
        two_replicas(kind), make_examples(128), 40, optimizer=adam, xla=True, precision=precision,
        loss_scale=DynamicLossScale() if precision == "mixed_float16" else None,
    )  # fmt: skip
    batches = iter(distribute_batches(make_examples(128, seed=1), two_replicas(kind), BATCH))
    engine.evaluate(batches, 8)
    assert all(np.isfinite(weight).all() for weight in model.get_weights())
    assert all(weight.dtype == np.float32 for weight in model.get_weights())
    assert measure(engine.eval_totals.read()).accuracy > 0.6


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(("xla", "xla_update"), [(False, False), (False, True), (True, True)])
def test_overflow_on_the_last_replica_alone_skips_the_step_on_every_replica(xla, xla_update, kind):
    # Replica 0 sees black images and replica 1 bright ones, which overflow at this loss scale.
    images = np.zeros((BATCH, SIZE, SIZE, 1), np.uint8)
    images[BATCH // 2 :] = 255
    labels = np.zeros(BATCH, int)
    scale = 2.0**15
    settings = {
        "precision": "mixed_float16", "loss_scale": DynamicLossScale(initial=scale), "xla": xla,
        "xla_update": xla_update, "optimizer": lambda: keras.optimizers.Adam(1e-3, use_ema=True),
    }  # fmt: skip
    black = examples_of(np.zeros_like(images), labels)
    _, _, first = train(two_replicas(kind), black, 0)
    engine, unhurt, _ = train(two_replicas(kind), black, 1, **settings)
    assert relative_difference(unhurt.get_weights(), first) > 0, "black images must not overflow"
    assert engine.loss_scale() == scale

    before = states_of_replicas(engine)
    bright = examples_of(images, labels)
    batches = iter(distribute_batches(bright, two_replicas(kind), BATCH, augment_seed=3))
    assert engine.train(batches, 1)[:3] == (1, False, None)
    assert engine.loss_scale() == scale / 2
    changed = {"loss_scale/scale", "loss_scale/finite_steps"}
    for held, was in zip(states_of_replicas(engine), before, strict=True):
        for name in held.keys() - changed:
            np.testing.assert_array_equal(held[name], was[name], err_msg=name)
    assert all(np.isfinite(weight).all() for weight in engine.weights())


def states_of_replicas(engine):
    return [
        {name: variable.numpy() for name, variable in replica.state().items()}
        for replica in engine._replicas
    ]


@pytest.mark.parametrize("xla_update", [False, True])
def test_a_gradient_that_is_not_finite_ends_the_steps_though_the_loss_is_finite(xla_update):
    def build(precision):
        # The square root of 0 is 0, its slope is not finite.
        inputs = keras.Input((SIZE, SIZE, 1))
        x = keras.layers.GlobalAveragePooling2D()(inputs)
        x = keras.layers.Dense(4, use_bias=True, name="before")(x)
        x = keras.layers.Lambda(lambda y: tf.sqrt(0.0 * y), name="root")(x)
        return keras.Model(inputs, keras.layers.Dense(4, name="logits")(x))

    examples = examples_of(np.ones((BATCH, SIZE, SIZE, 1), np.float32), np.zeros(BATCH, int))
    engine, _, first = train(
        two_replicas(), examples, 0, build=build, flip=False, xla_update=xla_update
    )
    batches = iter(distribute_batches(examples, two_replicas(), BATCH))
    result = engine.train(batches, 9)
    assert result[:3] == (2, False, 1)
    assert not np.isfinite(result.gradient_norm)
    assert np.isfinite(measure(engine.train_totals.read()).loss)
    for weight, was in zip(engine.weights(), first, strict=True):
        np.testing.assert_array_equal(weight, was)


@pytest.mark.parametrize("xla_update", [False, True])
def test_later_steps_leave_a_state_that_was_read_alone(xla_update):
    examples = make_examples(4 * BATCH)
    engine, _, _ = train(two_replicas(), examples, 2, optimizer=adam, xla_update=xla_update)
    state = engine.state()
    then = {name: tensor.numpy() for name, tensor in state.items()}
    batches = iter(distribute_batches(examples, two_replicas(), BATCH, augment_seed=3))
    engine.train(batches, 3)
    later = engine.state()
    assert (later["weights/decayed"].numpy() != then["weights/decayed"]).any()
    for name, tensor in state.items():
        np.testing.assert_array_equal(tensor.numpy(), then[name], err_msg=name)

    other, _, _ = train(two_replicas(), examples, 0, optimizer=adam)
    other.load_state(then)
    batches = iter(distribute_batches(examples, two_replicas(), BATCH, augment_seed=3))
    other.train(batches, 3)
    for name, tensor in other.state().items():
        np.testing.assert_allclose(tensor.numpy(), later[name].numpy(), rtol=1e-5, atol=1e-6)


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


def with_fused_normalization(precision="float32"):
    return fuse_normalization(with_batch_normalization(precision))


@pytest.mark.parametrize("xla", [False, True])
@pytest.mark.parametrize("build", [with_batch_normalization, with_fused_normalization])
def test_moving_statistics_are_the_mean_over_replicas_after_every_step(xla, build):
    examples = make_examples(BATCH)
    engine, model, _ = train(two_replicas(), examples, 1, build=build, flip=False, xla=xla)
    images = examples.load(tf.range(BATCH))["image"].numpy() / 255
    halves = images[: BATCH // 2], images[BATCH // 2 :]
    layer = next(x for x in model.layers if isinstance(x, keras.layers.BatchNormalization))
    for replica in range(2):
        model.set_weights(engine.weights(replica=replica))
        np.testing.assert_allclose(
            layer.moving_mean.numpy()[0],
            0.5 * np.mean([half.mean() for half in halves]),
            rtol=1e-5,
        )
        np.testing.assert_allclose(
            layer.moving_variance.numpy()[0],
            0.5 + 0.5 * np.mean([half.var() for half in halves]),
            rtol=1e-3,
        )


def mean_gradients(model, examples, weights):
    """Gradients of the mean loss over examples, with plain Keras and one tape."""
    model.set_weights(weights)
    rows = examples.load(tf.range(examples.size))
    with tf.GradientTape() as tape:
        losses = keras.losses.sparse_categorical_crossentropy(rows["label"], model(rows["image"]))
        value = tf.reduce_mean(losses)
    gradients = tape.gradient(value, [v.value for v in model.trainable_variables])
    return [gradient.numpy() for gradient in gradients]


@pytest.mark.parametrize("strategy", [one_device, two_replicas])
@pytest.mark.parametrize("share", [0.5, 2.0])
def test_the_reduced_gradient_is_clipped_by_its_global_norm(strategy, share):
    examples = make_examples(BATCH)
    gradients = mean_gradients(small_lenet(), examples, train(one_device(), examples, 0)[2])
    norm = np.sqrt(sum(np.sum(gradient.astype(np.float64) ** 2) for gradient in gradients))
    _, model, first = train(strategy(), examples, 1, flip=False, clip_norm=share * norm)
    expected = [
        weight - 1e-6 * min(1.0, share) * gradient
        for weight, gradient in zip(first, gradients, strict=True)
    ]
    change, wanted = (
        [after - before for after, before in zip(weights, first, strict=True)]
        for weights in (model.get_weights(), expected)
    )
    assert relative_difference(change, wanted) < 1e-2  # float32 weights hold few digits of it
    assert relative_difference(model.get_weights(), expected) < 1e-7


def test_the_gradient_norm_is_that_of_the_mean_loss_before_clipping():
    examples = make_examples(BATCH)
    engine, _, first = train(two_replicas(), examples, 0, flip=False, clip_norm=1e-3)
    result = engine.train(iter(distribute_batches(examples, two_replicas(), BATCH)), 1)
    gradients = mean_gradients(small_lenet(), examples, first)
    norm = np.sqrt(sum(np.sum(gradient.astype(np.float64) ** 2) for gradient in gradients))
    assert result.gradient_norm == pytest.approx(norm, rel=1e-5)


@pytest.mark.parametrize("xla", [False, True])
def test_gradients_reduced_in_bfloat16_leave_statistics_alone(xla):
    examples = make_examples(BATCH)
    settings = {
        "build": with_batch_normalization, "flip": False, "xla": xla,
        "optimizer": lambda: keras.optimizers.SGD(0.1),
    }  # fmt: skip
    rounded, model, first = train(two_replicas(), examples, 1, reduce_dtype="bfloat16", **settings)
    _, exact, _ = train(two_replicas(), examples, 1, **settings)
    for weight, after, wanted, before in zip(
        model.weights, model.get_weights(), exact.get_weights(), first, strict=True
    ):
        if "moving" in weight.path:
            np.testing.assert_allclose(after, wanted, rtol=1e-6)
        else:  # bfloat16 has 8 bits; gradients of opposite sign cancel.
            change = wanted - before
            assert not np.array_equal(after, wanted)
            np.testing.assert_allclose(after - before, change, atol=2**-7 * np.abs(change).max())
    for one, other in zip(*(rounded.weights(replica=i) for i in range(2)), strict=True):
        np.testing.assert_array_equal(one, other)


@pytest.mark.parametrize("xla", [False, True])
def test_four_micro_batches_equal_one_batch(xla):
    # The last batch of 42 examples has rows that weigh nothing in its last micro-batches.
    examples = make_examples(42)
    settings = {"optimizer": sgd, "xla": xla}
    whole, model, first = train(two_replicas(), examples, 6, **settings)
    parts, accumulated, _ = train(two_replicas(), examples, 6, accumulation_steps=4, **settings)
    assert relative_difference(model.get_weights(), first) > 1e-4
    assert relative_difference(accumulated.get_weights(), model.get_weights()) < 1e-6
    ours, theirs = (measure(engine.train_totals.read()) for engine in (parts, whole))
    assert ours.loss == pytest.approx(theirs.loss, rel=1e-5)
    np.testing.assert_array_equal(ours.confusion, theirs.confusion)


def test_the_average_of_the_weights_is_numpys():
    def averaging():
        return keras.optimizers.SGD(1e-4, use_ema=True, ema_momentum=0.8)

    examples = make_examples(3 * BATCH)
    engine, _, _ = train(two_replicas(), examples, 0, optimizer=averaging)
    batches = iter(distribute_batches(examples, two_replicas(), BATCH, augment_seed=3))
    average = None
    for _ in range(3):
        engine.train(batches, 1)
        now = engine.weights()
        if average is None:
            average = now  # Keras begins with the weights after the first step.
        average = [0.8 * mean + 0.2 * weight for mean, weight in zip(average, now, strict=True)]
    assert relative_difference(now, average) > 1e-5
    for replica in range(2):
        held = engine.weights(averaged=True, replica=replica)
        assert relative_difference(held, average) < 1e-6
    engine.evaluate(iter(distribute_batches(examples, two_replicas(), BATCH)), 3)
    averaged = small_lenet()
    averaged.set_weights(average)
    rows = examples.load(tf.range(examples.size))
    expected = metrics.log_loss(
        rows["label"].numpy(), averaged(rows["image"]).numpy().astype(np.float64), labels=range(4)
    )
    assert measure(engine.eval_totals.read()).loss == pytest.approx(expected, rel=1e-4)


@pytest.mark.parametrize("strategy", [one_device, two_replicas])
def test_a_stop_is_obeyed_one_step_after_the_current_one(strategy):
    stop = StopRequest()
    examples = make_examples(64)
    engine, _, _ = train(strategy(), examples, 1, stop_request=stop)
    batches = iter(distribute_batches(examples, strategy(), BATCH, augment_seed=3))
    assert engine.train(batches, 2)[:3] == (2, False, None)
    stop.ask()
    before = engine.weights()
    assert engine.train(batches, 1)[:3] == (1, True, None)
    assert engine.train(batches, 10)[:3] == (2, True, None)
    assert relative_difference(engine.weights(), before) > 0
    assert engine.evaluate(batches, 10)[:3] == (2, True, None)


@pytest.mark.parametrize("strategy", [one_device, two_replicas])
def test_a_loss_that_is_not_finite_ends_the_steps_and_reaches_no_weight(strategy):
    images = np.random.default_rng(0).uniform(size=(4 * BATCH, SIZE, SIZE, 1)).astype(np.float32)
    images[3 * BATCH - 1] = np.nan  # The last row of the third step, on the last replica.

    def build(precision):
        inputs = keras.Input((SIZE, SIZE, 1))
        x = keras.layers.GlobalAveragePooling2D()(inputs)
        return keras.Model(inputs, keras.layers.Dense(4, name="logits")(x))

    examples = examples_of(images, np.zeros(len(images), int))
    engine, _, _ = train(strategy(), examples, 0, build=build, flip=False)
    batches = iter(distribute_batches(examples, strategy(), BATCH))
    assert engine.train(batches, 2)[:3] == (2, False, None)
    before = engine.weights()
    assert engine.train(batches, 1)[:3] == (1, False, 1)
    for weight, was in zip(engine.weights(), before, strict=True):
        np.testing.assert_array_equal(weight, was)
    assert np.isnan(measure(engine.train_totals.read()).loss)

    engine, _, _ = train(strategy(), examples, 0, build=build, flip=False)
    batches = iter(distribute_batches(examples, strategy(), BATCH))
    # The step behind it is queued before its loss is looked at.
    assert engine.train(batches, 9)[:3] == (4, False, 3)


@pytest.mark.parametrize("strategy", [one_device, two_replicas])
def test_evaluation_counts_every_example_once(strategy):
    examples = make_examples(103)
    engine, model, _ = train(strategy(), examples, 8, optimizer=adam)
    assert measure(engine.train_totals.read()).examples == 103 + 8 * BATCH - 112
    batches = iter(distribute_batches(examples, strategy(), BATCH))
    for _ in range(2):  # the second pass must not remember the first
        engine.evaluate(batches, examples.steps_per_epoch(BATCH))
        measured = measure(engine.eval_totals.read())
        engine.eval_totals.reset()
        rows = examples.load(tf.range(103))
        probabilities = model(rows["image"]).numpy().astype(np.float64)
        probabilities /= probabilities.sum(axis=1, keepdims=True)
        labels, predicted = rows["label"].numpy(), probabilities.argmax(axis=1)
        assert measured.examples == 103
        assert measured.accuracy == pytest.approx(metrics.accuracy_score(labels, predicted))
        assert measured.loss == pytest.approx(
            metrics.log_loss(labels, probabilities, labels=range(4)), rel=1e-4
        )
        np.testing.assert_array_equal(
            measured.confusion, metrics.confusion_matrix(labels, predicted)
        )
        np.testing.assert_allclose(
            measured.recall, metrics.recall_score(labels, predicted, average=None)
        )


@pytest.mark.parametrize(
    ("name", "size"),
    [("lenet", 224), ("resnet101", SIZE), ("vgg19", SIZE),
     *(pytest.param(name, 224, marks=pytest.mark.slow)
       for name in ("resnet101", "vgg19", "densenet169"))],
)  # fmt: skip
def test_each_model_takes_a_step_under_two_replicas(name, size):
    strategy = two_replicas()
    examples = make_examples(2 * BATCH, size=size)
    model = models.build(name, image_shape=(size, size, 1))
    before = [weight.numpy() for weight in model.trainable_variables]
    frozen = [weight.numpy() for weight in model.non_trainable_variables]
    engine = Engine(strategy, model, Computation(adam(), Objective(4)))
    engine.train(iter(distribute_batches(examples, strategy, 4, augment_seed=0)), 1)
    model.set_weights(engine.weights())
    after = [weight.numpy() for weight in model.trainable_variables]
    assert np.isfinite(measure(engine.train_totals.read()).loss)
    assert all(np.isfinite(weight).all() for weight in after)
    assert relative_difference(after, before) > 0
    if name in ("resnet101", "vgg19"):
        for weight, was in zip(model.non_trainable_variables, frozen, strict=True):
            np.testing.assert_array_equal(weight.numpy(), was)


@pytest.mark.parametrize(("seconds_late", "expected"), [(1000.0, 1000.0), (-1000.0, 0.0)])
def test_a_replica_waits_from_the_end_of_a_step_until_its_batch_is_loaded(seconds_late, expected):
    def load_late(batch):
        return batch | {"loaded_at": read_clock() + round(seconds_late * 1e6)}

    examples, steps = make_examples(2 * BATCH), 3
    engine, _, _ = train(two_replicas(), examples, 0)
    for totals, work in [
        (engine.train_totals, engine.train),
        (engine.eval_totals, engine.evaluate),
    ]:
        batches = distribute_batches(
            examples, two_replicas(), BATCH, augment_seed=3, change_batch=load_late
        )
        work(iter(batches), steps)
        waited = measure(totals.read()).waited
        assert waited == pytest.approx(2 * steps * expected, rel=0.1)
