import dataclasses

import pytest

from tests.support.settings import SETTINGS
from trainer import config
from trainer.errors import UserError


def test_seed_recipe_is_the_originals():
    for model, weights, train_backbone in [
        ("lenet", "none", False), ("resnet101", "imagenet", False),
        ("vgg19", "imagenet", False), ("densenet169", "imagenet", True),
    ]:  # fmt: skip
        made = config.make("seed", model, SETTINGS)
        assert (made.weights, made.train_backbone) == (weights, train_backbone)
        assert (made.global_batch_size, made.epochs, made.patience) == (16, 20, 5)
        assert (made.learning_rate, made.scaling, made.flip) == (1e-3, "raw", True)


def test_a_flag_overrides_the_recipe():
    made = config.make("seed", "lenet", SETTINGS | {"epochs": 3, "flip": False, "weights": None})
    assert (made.epochs, made.flip, made.weights) == (3, False, "none")


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("epochs", 0),
        ("global_batch_size", -1),
        ("patience", -1),
        ("learning_rate", 0.0),
        ("learning_rate", float("inf")),
        ("ema_momentum", 1.0),
        ("label_smoothing", -0.1),
        ("accumulation_steps", 0),
        ("clip_norm", -1.0),
        ("log_steps", 0),
        ("dropout", 1.0),
        ("map_dropout", 1.0),
        ("rotation", -1.0),
        ("erasing", 1.5),
        ("input_pooling", 0),
    ],  # fmt: skip
)
def test_values_out_of_range_are_named(name, value):
    with pytest.raises(UserError, match=f"--{name}={value}"):
        config.make("seed", "lenet", SETTINGS | {name: value})


@pytest.mark.parametrize(
    ("model", "changes", "said"),
    [
        ("lenet", {"weight_decay": 0.1}, "--optimizer=adamw"),
        ("lenet", {"warmup_epochs": 1.0}, "--schedule=cosine"),
        ("lenet", {"warmup_epochs": 20.5, "schedule": "cosine"}, "20.5 is longer.*20 epochs"),
        ("lenet", {"head_epochs": 2}, "LeNet has no backbone"),
        ("lenet", {"head": "average_pool"}, "goes with a backbone"),
        ("vgg19", {"input_pooling": 2}, "--model=lenet"),
        ("vgg19", {"pooling": "average_max"}, "--pooling=average_max goes with --model=lenet"),
        ("vgg19", {"map_dropout": 0.1}, "--map_dropout goes with --model=lenet"),
        ("vgg19", {"head_epochs": 20}, "leaves no epoch of --epochs=20"),
        ("vgg19", {"unfreeze_from": "block5"}, "--head_epochs or --train_backbone"),
    ],
)
def test_settings_that_would_do_nothing_are_refused(model, changes, said):
    with pytest.raises(UserError, match=said):
        config.make("seed", model, SETTINGS | changes)


def test_without_weights_fine_tuning_becomes_training_of_everything():
    for model in ("resnet101", "vgg19", "densenet169"):
        tuned = config.make("strong", model, SETTINGS)
        assert 0 < tuned.head_epochs < tuned.epochs and tuned.unfreeze_from
        scratch = config.make("strong", model, SETTINGS | {"weights": "none"})
        assert (scratch.head_epochs, scratch.unfreeze_from) == (0, "")
        assert scratch.train_backbone
        asked = config.make("strong", model, SETTINGS | {"weights": "none", "head_epochs": 2})
        assert asked.head_epochs == 2


def test_micro_batches_must_divide_each_replicas_batch():
    made = config.make("seed", "lenet", SETTINGS | {"accumulation_steps": 4})
    config.check_batch(made, 4)
    with pytest.raises(UserError, match=r"by the 3 replicas with 4 micro-batches.*multiple of 12"):
        config.check_batch(made, 3)


def test_differences_name_what_differs_and_nothing_else():
    one = config.make("seed", "lenet", SETTINGS)
    other = dataclasses.asdict(config.make("seed", "lenet", SETTINGS | {"seed": 7}))
    assert one.differences(dataclasses.asdict(one)) == []
    (difference,) = one.differences(other)
    assert "--seed" in difference and "7" in difference


def test_a_batch_that_replicas_cannot_share_is_refused():
    made = config.make("seed", "lenet", SETTINGS | {"global_batch_size": 10})
    config.check_batch(made, 2)
    with pytest.raises(UserError, match=r"10 does not divide by the 4"):
        config.check_batch(made, 4)
