import keras
import numpy as np
import pytest
import tensorflow as tf

from tests.conftest import one_device, two_replicas
from trainer.settings import declared
from trainer.training.computation import Computation
from trainer.training.engine import Engine
from trainer.training.execution import Execution
from trainer.training.objective import Objective
from trainer.training.optimizer import Optimization, build_optimizer

GRADIENT = np.array([[0.3, -2.0], [1.5, 0.01]], np.float32)


def small_model():
    inputs = keras.Input((2,))
    x = keras.layers.BatchNormalization()(inputs)
    x = keras.layers.Dense(2)(x)
    model = keras.Model(inputs, keras.layers.Dense(2, name="logits")(x))
    for weight in model.trainable_variables:
        weight.assign(np.full(weight.shape, 0.5))
    return model


def after_steps(strategy, steps, gradient, chosen, *, total_steps=1, compiled=True):
    """Weights by name and learning rates of a model after steps with the same gradient."""
    model = small_model()
    engine = Engine(
        strategy,
        model,
        Computation(build_optimizer(chosen, total_steps=total_steps), Objective(2)),
        execution=Execution(xla=compiled),
    )
    gradients = {
        variable.path: gradient if variable.shape == (2, 2) else gradient[0]
        for variable in model.trainable_variables
    }
    reduced = np.concatenate(
        [np.array([1.0, 0.0, 0.0]), np.zeros(4)]  # Signals; moving mean and variance.
        + [
            gradients[variable.path].ravel()
            for packing in engine._packings[:2]
            for variable in packing.variables
        ]
    )
    reduced = [tf.constant(reduced, tf.float32)]
    updates = [
        replica.update_function(engine._step, 1, None, jit_compile=compiled)
        for replica in engine._replicas
    ]
    rates = []
    for _ in range(steps):
        rates.append(engine.learning_rate())
        for replica, update in zip(engine._replicas, updates, strict=True):
            with tf.device(replica.device):
                update(reduced)
    names = [variable.path for variable in model.weights]
    return [
        dict(zip(names, engine.weights(replica=replica), strict=True))
        for replica in range(len(updates))
    ], rates


def test_cosine_rises_in_the_warm_up_and_falls_to_nothing():
    chosen = Optimization(learning_rate=0.4, schedule="cosine", warmup_epochs=4)
    _, rates = after_steps(one_device(), 11, GRADIENT, chosen, total_steps=10)
    rising = 0.4 * np.arange(4) / 4
    falling = 0.4 * 0.5 * (1 + np.cos(np.pi * np.arange(7) / 6))
    np.testing.assert_allclose(rates, [*rising, *falling], atol=1e-7)


def test_cosine_without_a_warm_up_begins_at_the_highest():
    chosen = Optimization(optimizer="sgd", learning_rate=0.2, schedule="cosine")
    _, rates = after_steps(one_device(), 5, GRADIENT, chosen, total_steps=4)
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


@pytest.mark.parametrize("compiled", [False, True])
@pytest.mark.parametrize("name", declared(Optimization)["optimizer"].choices)
def test_each_optimizer_is_numpys_and_decays_kernels_alone(name, compiled):
    decay = 0.0 if name == "adam" else 0.3
    chosen = Optimization(optimizer=name, learning_rate=0.1, weight_decay=decay)
    held, _ = after_steps(two_replicas(), 3, GRADIENT, chosen, compiled=compiled)
    expected = numpy_sgd if name == "sgd" else numpy_adam
    start = np.full((2, 2), 0.5)
    for weights in held:
        for path, weight in weights.items():
            if path.endswith("kernel"):
                wanted = expected(start, GRADIENT, 3, decay)
            elif "moving" in path:
                continue
            else:  # Bias, gamma and beta.
                wanted = expected(start[0], GRADIENT[0], 3, 0.0)
            np.testing.assert_allclose(weight, wanted, rtol=1e-4)
