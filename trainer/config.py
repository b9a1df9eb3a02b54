"""A run's configuration: a recipe of hyper-parameters and what the user's flags changed in it."""

import dataclasses
from typing import Any

from trainer.errors import UserError

# The original's settings, for all four models: raw gray values, horizontal flip, Adam, at most 20
# epochs, early stopping on the validation loss. Which weights a model starts from, and whether its
# backbone is trained, depends on the model: see `_original_start`.
SEED = {
    "global_batch_size": 16,
    "epochs": 20,
    "learning_rate": 1e-3,
    "patience": 5,
    "scaling": "raw",
    "flip": True,
}

RECIPES = {"seed": SEED}


@dataclasses.dataclass(frozen=True)
class Config:
    """Every setting of a run. Written to config.json, never changed.

    Attributes:
        model: name of the network.
        recipe: name of the recipe that the hyper-parameters were taken from.
        dataset: TFDS name of the dataset.
        data_dir: directory that holds it.
        strategy: `one_device` or `mirrored`.
        precision: as asked for; what `auto` became stands beside it in config.json.
        xla: as asked for, likewise.
        virtual_devices: number of logical devices that the CPU is split into; 0: not split.
        cache: where the decoded images are held, `auto`, `memory` or `off`.
        seed: of the initial weights, the order of the examples and the augmentation.
        deterministic: whether TensorFlow's operations are made deterministic.
        weights: `imagenet`, `none` or a path.
        train_backbone: whether the backbone's weights are trained.
        scaling: of gray values, a key of `trainer.models.preprocess.SCALINGS`.
        flip: whether training images are flipped left to right at random.
        global_batch_size: examples per step, over all replicas.
        epochs: at most so many epochs.
        patience: epochs without a better validation loss after which training stops.
        learning_rate: of Adam.
    """

    model: str
    recipe: str
    dataset: str
    data_dir: str
    strategy: str
    precision: str
    xla: str
    virtual_devices: int
    cache: str
    seed: int
    deterministic: bool
    weights: str
    train_backbone: bool
    scaling: str
    flip: bool
    global_batch_size: int
    epochs: int
    patience: int
    learning_rate: float

    def differences(self, other: dict[str, Any]) -> list[str]:
        """Lists the settings in which a stored configuration differs from this one.

        Args:
            other: a configuration as config.json holds it.

        Returns:
            One line for each difference, empty if there is none.
        """
        mine = dataclasses.asdict(self)
        return [
            f"--{name}: {other.get(name)!r} in the run, {mine.get(name)!r} now"
            for name in sorted(mine.keys() | other.keys())
            if mine.get(name) != other.get(name)
        ]


def make(recipe: str, model: str, settings: dict[str, Any]) -> Config:
    """Makes a configuration from a recipe and the user's own settings.

    Args:
        recipe: a key of `RECIPES`.
        model: a name of `trainer.models.NAMES`.
        settings: the other fields of `Config`; None stands for the recipe's value.

    Returns:
        The valid configuration.

    Raises:
        UserError: a value is out of range; the text holds it.
    """
    chosen = {name: value for name, value in settings.items() if value is not None}
    config = Config(
        model=model,
        recipe=recipe,
        **(RECIPES[recipe] | _original_start(model) | chosen),
    )
    for name in ("global_batch_size", "epochs", "patience"):
        if getattr(config, name) < 1:
            raise UserError(f"--{name}={getattr(config, name)}: expected 1 or more")
    if not 0 < config.learning_rate < float("inf"):
        raise UserError(f"--learning_rate={config.learning_rate}: expected a positive number")
    return config


def check_batch(config: Config, num_replicas: int) -> None:
    """Checks that the replicas can share a global batch evenly.

    Raises:
        UserError: they cannot.
    """
    if config.global_batch_size % num_replicas:
        nearest = max(1, round(config.global_batch_size / num_replicas)) * num_replicas
        raise UserError(
            f"--global_batch_size={config.global_batch_size} does not divide by the {num_replicas} "
            f"replicas; use a multiple of {num_replicas}, such as {nearest}"
        )


def _original_start(model: str) -> dict[str, Any]:
    """Where the original started each model from and what it trained of it."""
    return {
        "weights": "none" if model == "lenet" else "imagenet",
        "train_backbone": model == "densenet169",
    }
