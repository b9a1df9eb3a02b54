"""A run's configuration: its settings by section, from a recipe and the user's choices."""

import dataclasses
import functools
import typing
from collections.abc import Collection, Mapping
from typing import Any

from absl import flags

from trainer import settings
from trainer.data.augment import Augmentation
from trainer.data.folds import splits_of
from trainer.data.keras_cv_augment import BatchAugmentation
from trainer.data.source import Source
from trainer.errors import UserError
from trainer.models import NAMES, Architecture
from trainer.models.networks import require_settings_of
from trainer.placement import Placement
from trainer.recipes import FROM_SCRATCH, RECIPES
from trainer.recipes import describe as describe_in_recipes
from trainer.settings import AUTO, section, setting
from trainer.training.batching import Batching
from trainer.training.intervals import Intervals
from trainer.training.objective import Loss
from trainer.training.optimizer import Optimization, learning_rate_factor
from trainer.training.phases import Phases

# The flags belong to the command that defines them.
flags.disclaim_key_flags()

_LEARNING_RATES = ("learning_rate", "fine_tune_learning_rate")


@section("What to train")
@dataclasses.dataclass(frozen=True)
class Task:
    """The network and the start of its training.

    Attributes:
        model: name of the network.
        recipe: name of the recipe that provides the hyper-parameters.
        workdir: the run's directory; None: a new one.
        seed: seed of the initial weights, the order of the examples and the augmentation.
        deterministic: whether TensorFlow's operations are made deterministic.
    """

    model: str = setting(None, "The network.", choices=NAMES)
    recipe: str = setting("strong", "Named set of hyper-parameters.", choices=RECIPES)
    workdir: str | None = setting(
        None, "Directory of the run; default: a new one under runs/.", is_fixed=False
    )
    seed: int = setting(
        0, "Random seed of weights, data order and augmentation.", within=(0, 2**32)
    )
    deterministic: bool = setting(False, "Bit-identical results on the same device, slower.")


@dataclasses.dataclass(frozen=True)
class Config:
    """All settings of a run, by section; immutable."""

    task: Task
    source: Source
    hardware: Placement
    network: Architecture
    optimization: Optimization
    batching: Batching
    phases: Phases
    loss: Loss
    augmentation: Augmentation
    batch_augmentation: BatchAugmentation
    intervals: Intervals

    def fixed(self) -> dict[str, Any]:
        """Settings that stay the same for the whole run, as stored in config.json."""
        return {
            name: getattr(part, name)
            for part in vars(self).values()
            for name, known in settings.declared(part).items()
            if known.is_fixed
        }

    def with_values(self, values: Mapping[str, Any]) -> "Config":
        """Returns a copy with other values for some settings, given by name."""
        parts = {
            name: dataclasses.replace(part, **{k: values[k] for k in vars(part) if k in values})
            for name, part in vars(self).items()
        }
        return dataclasses.replace(self, **parts)

    def differences(self, stored: Mapping[str, Any]) -> list[str]:
        """Lists the settings in which a stored configuration differs from this one.

        Args:
            stored: a configuration as stored in config.json. A setting missing in a run of an
                earlier version has its default.

        Returns:
            One line per difference; empty if there is none.
        """
        mine = self.fixed()
        theirs = {name: value for name, value in defaults().items() if name in mine} | dict(stored)
        return [
            f"--{name}: {theirs.get(name)!r} in the run, {mine.get(name)!r} now"
            for name in sorted(mine.keys() | theirs.keys())
            if mine.get(name) != theirs.get(name)
        ]


@functools.cache
def sections() -> dict[str, type]:
    """Returns the sections of a configuration by name, in the order of `--help`."""
    return typing.get_type_hints(Config)


def defaults() -> dict[str, Any]:
    """Returns the default of every setting."""
    fields = (field for cls in sections().values() for field in dataclasses.fields(cls))
    return {field.name: field.default for field in fields}


def define_flags(values: flags.FlagValues = flags.FLAGS) -> None:
    """Defines a flag for each setting; `model` is required.

    Args:
        values: the `FlagValues` in which the flags are defined.
    """
    known = defaults()

    def describe(name: str) -> str:
        return describe_in_recipes(name, known[name])

    for cls in sections().values():
        settings.define_flags(cls, describe, values)
    flags.mark_flag_as_required("model", values)


def asked_by(values: flags.FlagValues) -> dict[str, Any]:
    """Returns the settings given on a command line, by name.

    Args:
        values: the parsed flags.
    """
    return {name: values[name].value for name in defaults() if values[name].present}


def decided_by_trial(asked: Mapping[str, Any]) -> tuple[str, ...]:
    """Returns the settings --global_batch_size=auto decides: the size and unset learning rates.

    Args:
        asked: settings by name.
    """
    size = asked.get("global_batch_size")
    if not (isinstance(size, str) and size == AUTO):  # An array would compare its elements.
        return ()
    return ("global_batch_size", *(name for name in _LEARNING_RATES if asked.get(name) is None))


def with_batch_size(config: Config, batch_size: int, decided: Collection[str]) -> Config:
    """Returns the configuration with the batch size that a trial found.

    Args:
        config: the configuration with its recipe's batch size.
        batch_size: the global batch size that was found.
        decided: the result of `decided_by_trial`; learning rates in it are scaled.
    """
    growth = batch_size / config.batching.global_batch_size
    factor = learning_rate_factor(config.optimization, growth)
    known = config.fixed()
    scaled = {name: known[name] * factor for name in _LEARNING_RATES if name in decided}
    return config.with_values({"global_batch_size": batch_size} | scaled)


def from_asked(asked: Mapping[str, Any], stored: Mapping[str, Any] | None = None) -> Config:
    """Builds the requested configuration.

    Args:
        asked: settings by name, including `model`.
        stored: the configuration of the run to resume, as stored in config.json; None for a new
            run.

    Returns:
        The configuration. Settings decided by a trial are taken from the run, or else the recipe.

    Raises:
        UserError: as `make`.
    """
    chosen = {"recipe": defaults()["recipe"], "model": None} | dict(asked)
    chosen |= {name: (stored or {}).get(name) for name in decided_by_trial(asked)}
    return make(chosen.pop("recipe"), chosen.pop("model"), chosen)


def make(recipe: str, model: str, asked: Mapping[str, Any]) -> Config:
    """Builds a configuration from a recipe and the user's settings.

    Args:
        recipe: a key of `RECIPES`.
        model: a name of `trainer.models.NAMES`.
        asked: other settings by name; None means the recipe's value, or else the default.

    Returns:
        The valid configuration.

    Raises:
        UserError: a setting does not exist, or a value has the wrong type, is out of range or would
            have no effect; the message quotes it.
    """
    settings.require_known(asked, defaults())
    settings.fill(Task, {"model": model, "recipe": recipe})
    chosen = {name: value for name, value in asked.items() if value is not None}
    for cls in sections().values():
        chosen |= settings.of_section(cls, chosen)
    named = RECIPES[recipe][model]
    if named.get("head_epochs") and chosen.get("weights") == "none":
        named = named | FROM_SCRATCH.get(model, {})
    values = {"model": model, "recipe": recipe} | named | chosen
    if fold := values.get("fold"):
        _require_no_split_beside(fold, chosen)
        splits = splits_of(fold)
        values |= {"train_split": splits.train, "validation_split": splits.validation}
    config = Config(**{name: settings.fill(cls, values) for name, cls in sections().items()})
    for part in vars(config).values():
        require_settings_of(model, part)
    _check_combinations(config.optimization, config.phases, config.network)
    return config


def _require_no_split_beside(fold: str, chosen: Mapping[str, Any]) -> None:
    for name in ("train_split", "validation_split"):
        if name in chosen:
            raise UserError(f"--fold={fold} chooses the splits: leave --{name} out")


def _check_combinations(optimization: Optimization, phases: Phases, network: Architecture) -> None:
    """Rejects settings that would have no effect in combination with other sections."""
    if optimization.weight_decay and optimization.optimizer == "adam":
        raise UserError("--weight_decay goes with --optimizer=adamw or --optimizer=sgd")
    if optimization.warmup_epochs and optimization.schedule == "constant":
        raise UserError("--warmup_epochs goes with --schedule=cosine")
    shortest = phases.head_epochs or phases.epochs
    if optimization.warmup_epochs > shortest:
        raise UserError(
            f"--warmup_epochs={optimization.warmup_epochs} is longer than the first phase, which "
            f"has {shortest} epochs"
        )
    if phases.unfreeze_from and not (phases.head_epochs or network.train_backbone):
        raise UserError("--unfreeze_from goes with --head_epochs or --train_backbone")
    if phases.head_epochs >= phases.epochs:
        raise UserError(
            f"--head_epochs={phases.head_epochs} leaves no epoch of --epochs={phases.epochs} to "
            "train the backbone in"
        )
