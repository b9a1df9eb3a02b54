"""A run's configuration: a recipe of hyper-parameters and what the user's flags changed in it."""

import dataclasses
import math
from typing import Any

from trainer.errors import UserError

CLASS_WEIGHTS = ("none", "balanced")

# What a recipe leaves alone: no schedule, no regularisation, one phase.
_PLAIN = {
    "optimizer": "adam",
    "momentum": 0.9,
    "weight_decay": 0.0,
    "schedule": "constant",
    "warmup_epochs": 0.0,
    "clip_norm": 0.0,
    "accumulation_steps": 1,
    "ema_momentum": 0.0,
    "label_smoothing": 0.0,
    "class_weights": "none",
    "head_epochs": 0,
    "fine_tune_learning_rate": 1e-5,
    "unfreeze_from": "",
}

# The original's settings, for all four models: raw gray values, horizontal flip, Adam, at most 20
# epochs, early stopping on the validation loss. Which weights a model starts from, and whether its
# backbone is trained, depends on the model: see `_original_start`.
SEED = _PLAIN | {
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
        strategy: `one_device`, `mirrored` or `multi_worker`.
        precision: as asked for; what `auto` became stands beside it in config.json.
        xla: as asked for, likewise.
        virtual_devices: number of logical devices that the CPU is split into; 0: not split.
        cache: where the decoded images are held, `auto`, `memory`, `disk` or `off`.
        feature_cache: whether a frozen backbone runs once and its features are kept, `auto`, `on`
            or `off`.
        seed: of the initial weights, the order of the examples and the augmentation.
        deterministic: whether TensorFlow's operations are made deterministic.
        weights: `imagenet`, `none` or a path.
        train_backbone: whether the backbone's weights are trained.
        scaling: of gray values, a key of `trainer.models.preprocess.SCALINGS`.
        flip: whether training images are flipped left to right at random.
        global_batch_size: examples per step, over all replicas.
        epochs: at most so many epochs, over all phases.
        patience: epochs without a better validation loss after which a phase ends.
        learning_rate: the highest; of the first phase if there are two.
        optimizer: `adam`, `adamw` or `sgd`.
        momentum: of `sgd`.
        weight_decay: of `adamw` and `sgd`, decoupled.
        schedule: of the learning rate in each phase, `constant` or `cosine`.
        warmup_epochs: of `cosine`, in which the learning rate rises; may be a fraction.
        clip_norm: largest global norm of the reduced gradients; 0 clips nothing.
        accumulation_steps: micro-batches that each replica's batch is split into.
        ema_momentum: of the moving average of the weights, which is what is evaluated and saved;
            0 keeps none.
        label_smoothing: share of a label's mass that is spread over all classes.
        class_weights: `none`, or `balanced`: in inverse proportion to the classes' frequencies.
        head_epochs: epochs of a first phase that trains the head alone; 0 trains in one phase.
        fine_tune_learning_rate: the highest of the second phase.
        unfreeze_from: name, or its beginning, of the first layer of the backbone that is trained;
            empty trains all of it.
        log_steps: steps between two rows of TensorBoard's step charts, and two progress lines.
        checkpoint_steps: steps between two checkpoints within an epoch; 0 makes none there.
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
    feature_cache: str
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
    optimizer: str
    momentum: float
    weight_decay: float
    schedule: str
    warmup_epochs: float
    clip_norm: float
    accumulation_steps: int
    ema_momentum: float
    label_smoothing: float
    class_weights: str
    head_epochs: int
    fine_tune_learning_rate: float
    unfreeze_from: str
    log_steps: int
    checkpoint_steps: int

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
    _check_ranges(config)
    _check_combinations(config)
    return config


def check_batch(config: Config, num_replicas: int) -> None:
    """Checks that the replicas, and their micro-batches, can share a global batch evenly.

    Raises:
        UserError: they cannot.
    """
    parts = num_replicas * config.accumulation_steps
    if config.global_batch_size % parts:
        nearest = max(1, round(config.global_batch_size / parts)) * parts
        micro_batches = f" with {config.accumulation_steps} micro-batches each"
        raise UserError(
            f"--global_batch_size={config.global_batch_size} does not divide by the {num_replicas} "
            f"replicas{micro_batches if config.accumulation_steps > 1 else ''}; use a multiple of "
            f"{parts}, such as {nearest}"
        )


# Settings and the interval, closed below and open above, that each must lie in.
_RANGES = {
    "global_batch_size": (1, math.inf),
    "epochs": (1, math.inf),
    "patience": (1, math.inf),
    "accumulation_steps": (1, math.inf),
    "log_steps": (1, math.inf),
    "checkpoint_steps": (0, math.inf),
    "head_epochs": (0, math.inf),
    "warmup_epochs": (0, math.inf),
    "clip_norm": (0, math.inf),
    "weight_decay": (0, math.inf),
    "momentum": (0, 1),
    "ema_momentum": (0, 1),
    "label_smoothing": (0, 1),
}


def _check_ranges(config: Config) -> None:
    for name, (least, bound) in _RANGES.items():
        value = getattr(config, name)
        if not least <= value < bound:
            below = "" if bound == math.inf else f" and below {bound}"
            raise UserError(f"--{name}={value}: expected {least} or more{below}")
    for name in ("learning_rate", "fine_tune_learning_rate"):
        if not 0 < getattr(config, name) < math.inf:
            raise UserError(f"--{name}={getattr(config, name)}: expected a positive number")


def _check_combinations(config: Config) -> None:
    """Refuses settings that would do nothing beside the others."""
    if config.weight_decay and config.optimizer == "adam":
        raise UserError("--weight_decay goes with --optimizer=adamw or --optimizer=sgd")
    if config.warmup_epochs and config.schedule == "constant":
        raise UserError("--warmup_epochs goes with --schedule=cosine")
    if config.warmup_epochs >= config.epochs:
        raise UserError(
            f"--warmup_epochs={config.warmup_epochs} leaves nothing of --epochs={config.epochs}"
        )
    if config.unfreeze_from and not (config.head_epochs or config.train_backbone):
        raise UserError("--unfreeze_from goes with --head_epochs or --train_backbone")
    if config.head_epochs and config.model == "lenet":
        raise UserError("--head_epochs: LeNet has no backbone to freeze; leave it out")
    if config.head_epochs >= config.epochs:
        raise UserError(
            f"--head_epochs={config.head_epochs} leaves no epoch of --epochs={config.epochs} to "
            "train the backbone in"
        )


def _original_start(model: str) -> dict[str, Any]:
    """Where the original started each model from and what it trained of it."""
    return {
        "weights": "none" if model == "lenet" else "imagenet",
        "train_backbone": model == "densenet169",
    }
