import re

import numpy as np
import pytest
from absl import flags

from tests.support.settings import SETTINGS
from trainer.errors import UserError
from trainer.settings import declared
from trainer.training import config


def test_seed_recipe_is_the_originals():
    for model, weights, train_backbone in [
        ("lenet", "none", False), ("resnet101", "imagenet", False),
        ("vgg19", "imagenet", False), ("densenet169", "imagenet", True),
    ]:  # fmt: skip
        made = config.make("seed", model, SETTINGS)
        assert (made.network.weights, made.network.train_backbone) == (weights, train_backbone)
        assert made.batching.global_batch_size == 16
        assert (made.phases.epochs, made.phases.patience) == (20, 5)
        assert made.optimization.learning_rate == 1e-3
        assert (made.network.scaling, made.augmentation.flip) == ("raw", True)


def test_a_flag_overrides_the_recipe():
    made = config.make("seed", "lenet", SETTINGS | {"epochs": 3, "flip": False, "weights": None})
    assert (made.phases.epochs, made.augmentation.flip) == (3, False)
    assert made.network.weights == "none"


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
        (
            "lenet",
            {"head_epochs": 2},
            "--head_epochs=2 goes with a backbone, not with --model=lenet",
        ),
        ("lenet", {"head": "average_pool"}, "goes with a backbone"),
        ("vgg19", {"input_pooling": 2}, "--model=lenet"),
        ("vgg19", {"pooling": "average_max"}, "--pooling=average_max goes with --model=lenet"),
        ("vgg19", {"map_dropout": 0.1}, "--map_dropout=0.1 goes with --model=lenet"),
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
        assert 0 < tuned.phases.head_epochs < tuned.phases.epochs and tuned.phases.unfreeze_from
        scratch = config.make("strong", model, SETTINGS | {"weights": "none"})
        assert (scratch.phases.head_epochs, scratch.phases.unfreeze_from) == (0, "")
        assert scratch.network.train_backbone
        asked = config.make("strong", model, SETTINGS | {"weights": "none", "head_epochs": 2})
        assert asked.phases.head_epochs == 2


def test_micro_batches_must_divide_each_replicas_batch():
    made = config.make("seed", "lenet", SETTINGS | {"accumulation_steps": 4})
    made.batching.require_even(4)
    with pytest.raises(UserError, match=r"by the 3 replicas with 4 micro-batches.*multiple of 12"):
        made.batching.require_even(3)


def test_differences_name_what_differs_and_nothing_else():
    one = config.make("seed", "lenet", SETTINGS)
    other = config.make("seed", "lenet", SETTINGS | {"seed": 7}).fixed()
    assert one.differences(one.fixed()) == []
    (difference,) = one.differences(other)
    assert "--seed" in difference and "7" in difference


def test_a_batch_that_replicas_cannot_share_is_refused():
    made = config.make("seed", "lenet", SETTINGS | {"global_batch_size": 10})
    made.batching.require_even(2)
    with pytest.raises(UserError, match=r"10 does not divide by the 4"):
        made.batching.require_even(4)


def test_a_batch_above_an_epoch_is_told(caplog):
    made = config.make("seed", "lenet", SETTINGS | {"global_batch_size": 10})
    made.batching.warn_above(10)
    assert not caplog.messages
    made.batching.warn_above(9)
    (told,) = caplog.messages
    assert "--global_batch_size=10 is larger than the training split of 9 examples" in told


def test_a_setting_that_an_old_run_does_not_have_means_its_default():
    made = config.make("strong", "lenet", SETTINGS)
    stored = made.fixed()
    del stored["reduce_precision"], stored["erasing"]
    assert made.differences(stored) == []
    other = config.make("strong", "lenet", SETTINGS | {"erasing": 0.5})
    assert other.differences(stored) == ["--erasing: 0.0 in the run, 0.5 now"]


def test_a_setting_that_this_version_does_not_have_is_a_difference():
    made = config.make("seed", "lenet", SETTINGS)
    stored = made.fixed() | {"solarize": 0.5}
    assert made.differences(stored) == ["--solarize: 0.5 in the run, None now"]


def test_settings_that_may_change_stand_in_no_file():
    one = config.make("seed", "lenet", SETTINGS | {"workdir": "a", "worker_timeout": 5.0})
    other = config.make("seed", "lenet", SETTINGS | {"workdir": "b", "profile_steps": "1:2"})
    assert one.differences(other.fixed()) == []
    assert not {"workdir", "worker_timeout", "profile_steps"} & one.fixed().keys()


@pytest.fixture
def values():
    """The flags of a command, none of this process."""
    defined = flags.FlagValues()
    config.define_flags(defined)
    return defined


def test_every_setting_has_a_flag_of_its_name_and_no_two_sections_share_one(values):
    names = [name for cls in config.sections().values() for name in declared(cls)]
    assert len(set(names)) == len(names)
    assert set(names) <= set(values)


def test_what_flags_ask_for_is_in_the_configuration(values):
    values(["train", "--model=vgg19", "--weights=none", "--noflip", "--epochs=7", "--seed=3"])
    made = config.from_asked(config.asked_by(values) | SETTINGS)
    assert (made.task.model, made.task.seed, made.phases.epochs) == ("vgg19", 3, 7)
    assert not made.augmentation.flip
    assert made.optimization.optimizer == "adamw"
    assert (made.source.dataset, made.source.data_dir) == ("d/c:1.0.0", "data")


def test_a_value_of_python_code_is_what_its_flag_would_give(tmp_path):
    asked = {
        "learning_rate": 1,
        "epochs": np.int64(3),
        "dropout": np.float64(0.5),
        "workdir": tmp_path,
    }
    made = config.from_asked({"model": "lenet", **asked})
    given = (made.optimization.learning_rate, made.phases.epochs, made.network.dropout)
    assert list(map(type, given)) == [float, int, float]
    assert given == (1.0, 3, 0.5) and made.task.workdir == str(tmp_path)


@pytest.mark.parametrize(
    ("asked", "said"),
    [
        ({"epoch": 3}, "there is no setting 'epoch': epochs"),
        ({"epochs": "3"}, "--epochs='3': expected a whole number"),
        ({"epochs": 2.5}, "--epochs=2.5: expected a whole number"),
        ({"epochs": True}, "--epochs=True: expected a whole number"),
        ({"flip": 1}, "--flip=1: expected True or False"),
        ({"recipe": "weak"}, "--recipe=weak: expected one of seed, strong"),
        ({"model": "lenot"}, "--model=lenot: expected one of lenet"),
        ({"model": None}, "--model=None: expected one of lenet"),
        ({"fold": "0/3", "train_split": "train"}, "--fold=0/3 chooses the splits"),
    ],
)
def test_what_code_asks_for_is_refused_in_words(asked, said):
    with pytest.raises(UserError, match=re.escape(said)):
        config.from_asked({"model": "lenet"} | asked)


def test_a_flag_takes_one_of_the_choices(values):
    with pytest.raises(flags.IllegalFlagValueError, match=re.escape("adam|adamw|sgd")):
        values(["train", "--model=lenet", "--optimizer=lion"])
