import keras
import pytest

from tests.test_config import SETTINGS
from trainer import config, models
from trainer.errors import UserError
from trainer.training.phases import Phase, plan, prepare


def make_config(model, **changes):
    return config.make("seed", model, SETTINGS | changes)


@pytest.fixture(scope="module")
def resnet():
    return models.build("resnet101", image_shape=(32, 32, 1))


def trained_layers(model):
    return {weight.path.split("/")[0] for weight in model.trainable_variables}


def test_the_seed_recipe_has_one_phase_that_trains_what_the_original_did():
    (phase,) = plan(make_config("vgg19"))
    assert (phase.epochs, phase.trained_from, phase.normalization_frozen) == (20, None, False)
    (phase,) = plan(make_config("densenet169"))
    assert phase.trained_from == ""


def test_two_phases_share_the_epochs():
    head, fine_tune = plan(
        make_config("resnet101", head_epochs=3, epochs=10, fine_tune_learning_rate=1e-4)
    )
    assert (head.name, head.epochs, head.learning_rate, head.trained_from) == (
        "head", 3, 1e-3, None,
    )  # fmt: skip
    assert (fine_tune.name, fine_tune.epochs, fine_tune.learning_rate) == ("fine_tune", 7, 1e-4)


def test_the_head_alone_is_trained_first_and_then_a_block_but_no_normalization(resnet):
    head, fine_tune = plan(make_config("resnet101", head_epochs=1, unfreeze_from="conv5_block3"))
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
