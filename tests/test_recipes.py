import pytest

from tests.support.settings import SETTINGS
from trainer.models import NAMES
from trainer.recipes import RECIPES
from trainer.settings import declared
from trainer.training import config


@pytest.mark.parametrize("recipe", RECIPES)
def test_a_recipe_sets_hyperparameters_of_every_model_and_nothing_else(recipe):
    hyperparameters = {
        name for cls in config.sections().values() if cls.is_in_recipes for name in declared(cls)
    }
    assert RECIPES[recipe].keys() == set(NAMES)
    for model, settings in RECIPES[recipe].items():
        assert settings.keys() <= hyperparameters
        made = config.make(recipe, model, SETTINGS).fixed()
        assert settings.items() <= made.items()


def test_strong_scales_as_each_networks_weights_were_trained():
    scaling = {model: settings["scaling"] for model, settings in RECIPES["strong"].items()}
    assert scaling["resnet101"] == scaling["vgg19"] == "caffe"
    assert scaling["densenet169"] == "torch"


def test_a_cosine_schedule_is_never_cut_short():
    for recipe in RECIPES.values():
        for settings in recipe.values():
            assert settings.get("schedule", "constant") == "constant" or settings["patience"] == 0
