import keras
import numpy as np
import pytest
import tensorflow as tf

from trainer.training.vectors import Packing, Vectors, bind, pack_model

SHAPES = [(2, 3), (), (4, 1, 2), (5,)]
SIZE = 6 + 1 + 8 + 5


def arrays_of(shapes, seed=0, dtype="float32"):
    rng = np.random.default_rng(seed)
    return [rng.normal(size=shape).astype(dtype) for shape in shapes]


@pytest.fixture
def variables():
    return [keras.Variable(array) for array in arrays_of(SHAPES)]


def network():
    """Two convolutions, each with its BatchNormalization, and a dense layer."""
    layers = keras.layers
    inputs = keras.Input((8, 8, 1))
    x = layers.Conv2D(2, 3, name="conv1")(inputs)
    x = layers.BatchNormalization(momentum=0.75, name="bn1")(x)
    x = layers.Conv2D(3, 3, name="conv2")(x)
    x = layers.BatchNormalization(momentum=0.75, name="bn2")(x)
    x = layers.GlobalAveragePooling2D(name="pool")(layers.ReLU(name="relu")(x))
    return keras.Model(inputs, layers.Dense(4, name="logits")(x))


def images(count=6):
    return np.random.default_rng(1).uniform(size=(count, 8, 8, 1)).astype(np.float32)


def other_weights(model):
    """Weights that are not the model's own; all positive, as variances have to be."""
    return [np.abs(array) + 0.5 for array in arrays_of([w.shape for w in model.weights], seed=2)]


def bind_weights(model, weights):
    """Binds the model's variables to `weights`, which are in the order of `model.weights`."""
    value_of = {id(v): tf.constant(w) for v, w in zip(model.weights, weights, strict=True)}
    packings = pack_model(model)
    return bind(packings, [[value_of[id(v)] for v in p.variables] for p in packings])


# One vector ----------------------------------------------------------------------------------


def test_arrays_lie_one_after_the_other_row_by_row(variables):
    packing, arrays = Packing(variables, "float32"), arrays_of(SHAPES, seed=1)
    expected = np.concatenate([array.reshape(-1, order="C") for array in arrays])
    assert packing.size == SIZE
    np.testing.assert_array_equal(packing.pack(arrays), expected)


def test_a_vector_is_cut_into_arrays_of_the_variables_shapes(variables):
    vector = np.arange(SIZE, dtype=np.float32)
    ends = np.cumsum([6, 1, 8])
    expected = [
        part.reshape(shape) for part, shape in zip(np.split(vector, ends), SHAPES, strict=True)
    ]
    found = Packing(variables, "float32").unpack(tf.constant(vector))
    for array, wanted in zip(found, expected, strict=True):
        assert array.shape == wanted.shape
        np.testing.assert_array_equal(array, wanted)


@pytest.mark.parametrize("dtype", ["float32", "float64", "bfloat16"])
def test_what_was_packed_is_unpacked(dtype, variables):
    packing, arrays = Packing(variables, dtype), arrays_of(SHAPES, seed=1)
    arrays = [tf.cast(array, dtype) for array in arrays]
    for array, wanted in zip(packing.unpack(packing.pack(arrays)), arrays, strict=True):
        assert (array.dtype, array.shape) == (dtype, wanted.shape)
        np.testing.assert_array_equal(array.numpy(), wanted.numpy())


def test_the_values_are_what_the_variables_hold_now(variables):
    packing, arrays = Packing(variables, "float32"), arrays_of(SHAPES, seed=3)
    for variable, array in zip(variables, arrays, strict=True):
        variable.assign(array)
    np.testing.assert_array_equal(packing.values(), np.concatenate(list(map(np.ravel, arrays))))


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_no_variables_are_a_vector_of_none(dtype):
    packing = Packing([], dtype)
    assert packing.size == 0
    assert packing.unpack(tf.zeros([0], dtype)) == []
    for vector in (packing.pack([]), packing.values()):
        assert (vector.shape, vector.dtype) == ((0,), dtype)


# Four vectors --------------------------------------------------------------------------------


def named(packing):
    return [variable.path for variable in packing.variables]


def of_layer(layer, *names):
    return {f"{layer}/{name}" for name in names}


CONV1, CONV2, LOGITS = (of_layer(name, "kernel") for name in ("conv1", "conv2", "logits"))
BIAS1, BIAS2, OFFSETS = (of_layer(name, "bias") for name in ("conv1", "conv2", "logits"))
SCALE1, SCALE2 = (of_layer(name, "gamma", "beta") for name in ("bn1", "bn2"))
MOVING1, MOVING2 = (of_layer(name, "moving_mean", "moving_variance") for name in ("bn1", "bn2"))
EVERY = set.union(
    CONV1, CONV2, LOGITS, BIAS1, BIAS2, OFFSETS, SCALE1, SCALE2, MOVING1, MOVING2
)  # fmt: skip


@pytest.mark.parametrize(
    "frozen, decayed, undecayed, statistics",
    [
        (
            [],
            CONV1 | CONV2 | LOGITS,
            BIAS1 | BIAS2 | OFFSETS | SCALE1 | SCALE2,
            MOVING1 | MOVING2,
        ),
        (["conv1", "bn1"], CONV2 | LOGITS, BIAS2 | OFFSETS | SCALE2, MOVING2),
        (["bn1", "bn2"], CONV1 | CONV2 | LOGITS, BIAS1 | BIAS2 | OFFSETS, set()),
        (["conv1", "bn1", "conv2", "bn2", "logits"], set(), set(), set()),
    ],
    ids=["trained", "backbone_frozen", "normalization_frozen", "frozen"],
)
def test_each_weight_is_in_one_vector(frozen, decayed, undecayed, statistics):
    model = network()
    for name in frozen:
        model.get_layer(name).trainable = False
    found = Vectors(*map(named, pack_model(model)))
    assert set(found.decayed) == decayed
    assert set(found.undecayed) == undecayed
    assert set(found.statistics) == statistics
    assert set(found.frozen) == EVERY - decayed - undecayed - statistics
    assert sum(map(len, found)) == len(EVERY)


def test_a_vector_keeps_the_models_order():
    model = network()
    order = [weight.path for weight in model.weights]
    for packing in pack_model(model):
        places = [order.index(path) for path in named(packing)]
        assert places == sorted(places)


def test_a_function_is_applied_to_each_vector():
    assert Vectors(1, 2, 3, 4).map(lambda value: value * 10) == (10, 20, 30, 40)


# A function of the values --------------------------------------------------------------------


@pytest.mark.parametrize("training", [False, True])
def test_a_bound_model_is_the_model_that_has_these_weights(training):
    bound, set_to = network(), network()
    own, weights = bound.get_weights(), other_weights(bound)
    set_to.set_weights(weights)
    with bind_weights(bound, weights):
        found = bound(images(), training=training)
    np.testing.assert_allclose(found, set_to(images(), training=training), rtol=1e-6)
    assert np.abs(found - bound(images(), training=False)).max() > 0.1
    for weight, before in zip(bound.get_weights(), own, strict=True):
        np.testing.assert_array_equal(weight, before)


def test_moved_statistics_are_asked_of_the_scope():
    model = network()
    own, weights = model.get_weights(), other_weights(model)
    first = keras.Model(model.input, model.get_layer("conv1").output)
    first.set_weights(weights[:2])
    features = first(images()).numpy()
    first.set_weights(own[:2])
    given = dict(zip([weight.path for weight in model.weights], weights, strict=True))

    with bind_weights(model, weights) as scope:
        model(images(), training=True)
    layer = model.get_layer("bn1")
    for variable, of_batch in (
        (layer.moving_mean, features.mean(axis=(0, 1, 2))),
        (layer.moving_variance, features.var(axis=(0, 1, 2))),
    ):
        moved = 0.75 * given[variable.path] + 0.25 * of_batch
        np.testing.assert_allclose(scope.get_current_value(variable), moved, rtol=1e-5)
    # What nothing was assigned to has the value that was given.
    kernel = model.get_layer("conv2").kernel
    np.testing.assert_array_equal(scope.get_current_value(kernel), given[kernel.path])
    for weight, before in zip(model.get_weights(), own, strict=True):
        np.testing.assert_array_equal(weight, before)


def test_inference_moves_no_statistics():
    model = network()
    weights = other_weights(model)
    with bind_weights(model, weights) as scope:
        model(images(), training=False)
    for variable, weight in zip(model.weights, weights, strict=True):
        np.testing.assert_array_equal(scope.get_current_value(variable), weight)


def test_a_graph_of_a_bound_model_is_a_function_of_the_vectors():
    model, other = network(), network()
    other.set_weights(other_weights(model))
    packings = pack_model(model)

    def forward(vectors, batch):
        arrays = [p.unpack(v) for p, v in zip(packings, vectors, strict=True)]
        with bind(packings, arrays):
            return model(batch, training=True)

    batch = tf.constant(images())
    vectors_of = {
        owner: pack_model(owner).map(lambda packing: tf.constant(packing.values()))
        for owner in (model, other)
    }
    traced = tf.function(forward).get_concrete_function(vectors_of[model], batch)
    assert not [tensor for tensor in traced.captured_inputs if tensor.dtype == tf.resource]
    outputs = {owner: traced(vectors, batch).numpy() for owner, vectors in vectors_of.items()}
    for owner, output in outputs.items():
        np.testing.assert_allclose(output, owner(images(), training=True), rtol=1e-5, atol=1e-6)
    assert np.abs(outputs[model] - outputs[other]).max() > 0.1
