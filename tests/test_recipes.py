import pytest

from tests.conftest import ROOT
from tests.support.settings import SETTINGS
from trainer.models import NAMES
from trainer.recipes import RECIPES
from trainer.settings import declared
from trainer.studies.plan import parse
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


def test_the_ablation_removes_each_ingredient_of_strong_and_nothing_else():
    plan = parse((ROOT / "docs/plans/ablation.txt").read_text())
    shared = {"model": "lenet", "recipe": "strong", "epochs": "12"}
    whole, *others = plan.configurations
    assert (whole.name, whole.values) == ("strong", shared)
    removed = set()
    for configuration in others:
        assert configuration.name.startswith("strong without ")
        assert shared.items() < configuration.values.items()
        removed |= configuration.values.keys() - shared.keys()
    seed, strong = (RECIPES[name]["lenet"] for name in ("seed", "strong"))
    assert removed <= strong.keys()
    known = config.defaults()
    differing = {
        name
        for name in seed.keys() | strong.keys()
        if seed.get(name, known[name]) != strong.get(name, known[name])
    }
    # How long and how fast, which no recipe is without.
    assert differing - removed == {"epochs", "learning_rate", "patience", "global_batch_size"}
    assert removed - differing == {"flip"}


def test_the_recipes_are_compared_by_the_plan_that_the_docs_name():
    plan = parse((ROOT / "docs/plans/recipes.txt").read_text())
    assert [one.values["recipe"] for one in plan.configurations] == list(RECIPES)
    assert len(plan.seeds) == 3
