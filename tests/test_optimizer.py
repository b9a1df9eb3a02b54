import keras
import numpy as np
import pytest
import tensorflow as tf

from tests.conftest import one_device, two_replicas
from trainer.training.optimizer import OPTIMIZERS, build_optimizer

GRADIENT = np.array([[0.3, -2.0], [1.5, 0.01]], np.float32)


def small_model():
    model = keras.Sequential(
        [keras.Input((2,)), keras.layers.Dense(2), keras.layers.BatchNormalization()]
    )
    for weight in model.trainable_variables:
        weight.assign(np.full(weight.shape, 0.5))
    return model


def after_steps(strategy, steps, gradient, **settings):
    """Kernel, bias and learning rates of a model after steps with the same gradient."""
    with strategy.scope():
        model = small_model()
        optimizer = build_optimizer(**settings)
        optimizer.build(model.trainable_variables)
    optimizer._all_reduce_sum_gradients = lambda pairs: pairs
    gradients = [
        tf.constant(gradient if weight.shape == (2, 2) else gradient[0])
        for weight in model.trainable_variables
    ]

    @tf.function
    def step():
        strategy.run(optimizer.apply, args=(gradients,))

    rates = []
    for _ in range(steps):
        rates.append(float(keras.ops.convert_to_numpy(optimizer.learning_rate)))
        step()
    return [weight.numpy() for weight in model.trainable_variables], rates


def test_cosine_rises_in_the_warm_up_and_falls_to_nothing():
    _, rates = after_steps(
        one_device(), 11, GRADIENT, name="adam", learning_rate=0.4, schedule="cosine",
        total_steps=10, warmup_steps=4,
    )  # fmt: skip
    rising = 0.4 * np.arange(4) / 4
    falling = 0.4 * 0.5 * (1 + np.cos(np.pi * np.arange(7) / 6))
    np.testing.assert_allclose(rates, [*rising, *falling], atol=1e-7)


def test_cosine_without_a_warm_up_begins_at_the_highest():
    _, rates = after_steps(
        one_device(), 5, GRADIENT, name="sgd", learning_rate=0.2, schedule="cosine", total_steps=4
    )
    expected = 0.1 * (1 + np.cos(np.pi * np.arange(5) / 4))
    np.testing.assert_allclose(rates, expected, atol=1e-7)


def numpy_sgd(weight, gradient, steps, decay):
    velocity = np.zeros_like(weight)
    for _ in range(steps):
        weight = weight - 0.1 * decay * weight
        velocity = 0.9 * velocity - 0.1 * gradient
        weight = weight + velocity
    return weight


def numpy_adam(weight, gradient, steps, decay):
    first = second = np.zeros_like(weight)
    for step in range(1, steps + 1):
        weight = weight - 0.1 * decay * weight
        first = 0.9 * first + 0.1 * gradient
        second = 0.999 * second + 0.001 * gradient**2
        # The form at the end of section 2 of Kingma and Ba 2015, which Keras has too.
        rate = 0.1 * np.sqrt(1 - 0.999**step) / (1 - 0.9**step)
        weight = weight - rate * first / (np.sqrt(second) + 1e-7)
    return weight


@pytest.mark.parametrize("strategy", [one_device, two_replicas])
@pytest.mark.parametrize("name", OPTIMIZERS)
def test_each_optimizer_is_numpys_and_decays_kernels_alone(name, strategy):
    decay = 0.0 if name == "adam" else 0.3
    (kernel, *others), _ = after_steps(
        strategy(), 3, GRADIENT, name=name, learning_rate=0.1, momentum=0.9, weight_decay=decay
    )
    expected = numpy_sgd if name == "sgd" else numpy_adam
    start = np.full((2, 2), 0.5)
    np.testing.assert_allclose(kernel, expected(start, GRADIENT, 3, decay), rtol=1e-4)
    for weight in others:  # Bias, gamma and beta.
        np.testing.assert_allclose(weight, expected(start[0], GRADIENT[0], 3, 0.0), rtol=1e-4)
