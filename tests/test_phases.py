import keras
import numpy as np
import pytest

from tests.conftest import two_replicas
from tests.support.settings import SETTINGS
from tests.support.toy import SIZE, make_examples
from trainer import models
from trainer.data.input import distribute_batches
from trainer.errors import UserError
from trainer.training import config
from trainer.training.computation import Computation
from trainer.training.engine import Engine
from trainer.training.objective import Objective
from trainer.training.phases import Phase, plan, prepare


def make_config(model, **changes):
    return config.make("seed", model, SETTINGS | changes)


def plan_of(model, **changes):
    made = make_config(model, **changes)
    return plan(made.phases, made.optimization, made.network)


@pytest.fixture(scope="module")
def resnet():
    return models.build("resnet101", image_shape=(32, 32, 1))


def trained_layers(model):
    return {weight.path.split("/")[0] for weight in model.trainable_variables}


def test_the_seed_recipe_has_one_phase_that_trains_what_the_original_did():
    (phase,) = plan_of("vgg19")
    assert (phase.epochs, phase.trained_from, phase.normalization_frozen) == (20, None, False)
    (phase,) = plan_of("densenet169")
    assert phase.trained_from == ""


def test_two_phases_share_the_epochs():
    head, fine_tune = plan_of("resnet101", head_epochs=3, epochs=10, fine_tune_learning_rate=1e-4)
    assert (head.name, head.epochs, head.learning_rate, head.trained_from) == (
        "head", 3, 1e-3, None,
    )  # fmt: skip
    assert (fine_tune.name, fine_tune.epochs, fine_tune.learning_rate) == ("fine_tune", 7, 1e-4)


def test_the_head_alone_is_trained_first_and_then_a_block_but_no_normalization(resnet):
    head, fine_tune = plan_of("resnet101", head_epochs=1, unfreeze_from="conv5_block3")
    prepare(resnet, fine_tune)
    assert trained_layers(resnet) == {
        "dense", "logits", *(f"conv5_block3_{index}_conv" for index in (1, 2, 3)),
    }  # fmt: skip
    prepare(resnet, head)
    assert trained_layers(resnet) == {"dense", "logits"}
    for layer in resnet.layers:
        if isinstance(layer, keras.layers.BatchNormalization):
            assert not layer.trainable


def test_all_of_a_backbone_is_trained_with_its_normalization(resnet):
    prepare(resnet, Phase("all", 1, 1e-3, "", normalization_frozen=False))
    assert {"conv1_conv", "conv1_bn", "conv5_block3_3_bn"} <= trained_layers(resnet)


def test_an_unknown_block_is_named_with_those_there_are(resnet):
    with pytest.raises(UserError, match="block9.*conv1_conv.*conv5_block3"):
        prepare(resnet, Phase("fine_tune", 1, 1e-3, "block9", normalization_frozen=True))


# The first layers that `strong` trains, and how many of its convolutions stay as they are.
FINE_TUNED = {
    "resnet101": ("conv4_block1_1_conv", 1 + 3 * 3 + 1 + 4 * 3 + 1),
    "vgg19": ("block4_conv1", 8),
    "densenet169": ("conv4_block1_1_conv", 1 + 6 * 2 + 1 + 12 * 2 + 1),
}


@pytest.mark.parametrize(
    "name",
    [
        "vgg19",
        pytest.param("resnet101", marks=pytest.mark.slow),
        pytest.param("densenet169", marks=pytest.mark.slow),
    ],
)
def test_each_phase_of_strong_changes_the_weights_it_names_and_no_others(name):
    made = config.make("strong", name, SETTINGS)
    strategy = two_replicas()
    model = models.build(
        name, models.Architecture(head=made.network.head), image_shape=(SIZE, SIZE, 1)
    )
    changed = {}
    for phase in plan(made.phases, made.optimization, made.network):
        prepare(model, phase)
        before = weights_by_layer(model)
        engine = Engine(
            strategy,
            model,
            Computation(keras.optimizers.Adam(1e-3), Objective(4), augmentation=made.augmentation),
        )
        batches = distribute_batches(make_examples(4), strategy, 4, augment_seed=0)
        engine.train(iter(batches), 1)
        model.set_weights(engine.weights())
        after = weights_by_layer(model)
        changed[phase.name] = {
            layer
            for layer, weights in after.items()
            if any((new != old).any() for new, old in zip(weights, before[layer], strict=True))
        }
    assert changed["head"] == {"logits"}
    convolutions = [layer.name for layer in model.layers if isinstance(layer, keras.layers.Conv2D)]
    first, untouched = FINE_TUNED[name]
    assert convolutions.index(first) == untouched
    assert changed["fine_tune"] == {"logits", *convolutions[untouched:]}


def weights_by_layer(model):
    return {layer.name: [np.array(w) for w in layer.get_weights()] for layer in model.layers}
